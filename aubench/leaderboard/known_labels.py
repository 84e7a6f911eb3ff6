"""Labels of stores that are known without the store: label counts in ``protocols/labels``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

import numpy as np

from aubench.core.protocol import Protocol
from aubench.core.validation_draw import LabelCounts


@dataclass(frozen=True)
class SubjectLabels:
    """Labels of subjects.

    Attributes:
        labels: Numbers of positive and of known labels by subject, for the AUs in ascending order.
        labelled: Number of labelled frames by subject; empty if they are unknown.
    """

    labels: Mapping[str, LabelCounts]
    labelled: Mapping[str, int]

    def sum(self, subjects: Iterable[str]) -> LabelCounts:
        """Return the label counts of some subjects together."""
        total: LabelCounts = np.stack([self.labels[subject] for subject in subjects]).sum(axis=0)
        return total


@dataclass(frozen=True)
class KnownStore:
    """Store whose labels are known.

    Attributes:
        dataset, version, digest: Identity of the store.
        frames: Number of frames.
        aus: AUs with labels, ascending.
        subjects: Labels by subject.
    """

    dataset: str
    version: str
    digest: str
    frames: int
    aus: tuple[int, ...]
    subjects: SubjectLabels

    def of_protocol(self, protocol: Protocol) -> SubjectLabels | None:
        """Return the labels of the protocol's AUs; None if the protocol converts labels or leaves out frames."""
        if protocol.converted_labels or protocol.variant or not set(protocol.aus) <= set(self.aus):
            return None
        columns = tuple(self.aus.index(au) for au in sorted(protocol.aus))
        if columns not in self._by_columns:
            labels = {subject: counts[:, columns] for subject, counts in self.subjects.labels.items()}
            self._by_columns[columns] = SubjectLabels(labels, self.subjects.labelled)
        return self._by_columns[columns]

    @cached_property
    def _by_columns(self) -> dict[tuple[int, ...], SubjectLabels]:
        return {}


@cache
def known_stores() -> Mapping[str, KnownStore]:
    """Return the stores with known labels, by digest."""
    files = sorted(resources.files("aubench.protocols").joinpath("labels").iterdir(), key=lambda path: path.name)
    stores = [_read(path.read_text(encoding="utf-8")) for path in files if path.name.endswith(".json")]
    return {store.digest: store for store in stores}


@cache
def known_digest(dataset: str, version: str) -> str | None:
    """Return the digest of the known store of a version of a data set; None if there is none."""
    return {(store.dataset, store.version): store.digest for store in known_stores().values()}.get((dataset, version))


def _read(text: str) -> KnownStore:
    content = json.loads(text)
    subjects = content["subjects"]
    return KnownStore(
        content["dataset"],
        content["version"],
        content["digest"],
        sum(frames for frames, *_ in subjects.values()),
        tuple(content["aus"]),
        SubjectLabels(
            {name: np.array([positive, known]) for name, (_, _, positive, known) in subjects.items()},
            {name: labelled for name, (_, labelled, _, _) in subjects.items()},
        ),
    )
