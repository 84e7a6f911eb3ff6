"""Training, validation and test frames of each fold, disjoint in subjects."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aubench.core.errors import DataError, UsageError
from aubench.core.protocol import Protocol
from aubench.data.store import Store

if TYPE_CHECKING:
    from aubench.data.resident_images import ResidentImages

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FoldSplit:
    """Frames of one fold, as ascending row numbers of the store's frame table.

    Attributes:
        fold: Number of the fold, from 1.
        train: Training frames.
        val: Validation frames, which select the epoch; empty without validation subjects.
        test: Test frames.
    """

    fold: int
    train: Rows
    val: Rows
    test: Rows


class ProtocolDataset:
    """Frames of a store under a protocol.

    Args:
        store: Store of the data set.
        protocol: AUs, subjects and folds.

    Attributes:
        labels: int8 (frames, AUs).
        subjects: Subject of each frame.
        sequences: Number of the sequence of each frame.
        resident: Images in a device's memory; None if all are read from the store.

    Raises:
        DataError: The store has no frames of a subject, no images of a modality or no labels of an AU.
    """

    resident: ResidentImages | None = None

    def __init__(self, store: Store, protocol: Protocol) -> None:
        _require(store, protocol)
        self.store, self.protocol = store, protocol
        self.labels: npt.NDArray[np.int8] = store.frames[[f"AU{au}" for au in protocol.aus]].to_numpy(np.int8)
        self.subjects: npt.NDArray[np.str_] = store.frames["subject"].to_numpy(np.str_)
        by_sequence = store.frames.groupby(["subject", "sequence"], sort=False)
        self.sequences: Rows = np.asarray(by_sequence.ngroup(), np.int64)
        self._labelled = store.frames["labelled"].to_numpy(bool)

    def names(self, rows: Rows) -> list[tuple[str, str, int]]:
        """Return subject, sequence and number of frames."""
        frames = self.store.frames.iloc[rows]
        return list(zip(frames["subject"], frames["sequence"], frames["frame"].tolist(), strict=True))

    def labelled_rows(self, subjects: frozenset[str] | set[str]) -> Rows:
        """Return the labelled frames of subjects."""
        return np.flatnonzero(self._labelled & np.isin(self.subjects, sorted(subjects)))

    def all_rows(self, subjects: frozenset[str] | set[str]) -> Rows:
        """Return all frames of subjects, also those without labels."""
        return np.flatnonzero(np.isin(self.subjects, sorted(subjects)))

    def without_labels(self, rows: Rows) -> ProtocolDataset:
        """Return a copy without access to the images, landmarks and labels of some frames."""
        view = copy.copy(self)
        view.store, view.resident = self.store.without_labels(rows), None
        view.labels, view._labelled = self.labels.copy(), self._labelled.copy()
        view.labels[rows], view._labelled[rows] = -1, False
        return view

    def with_resident(self, images: ResidentImages) -> ProtocolDataset:
        """Return a copy whose batches come from a device's memory as far as it holds their frames."""
        view = copy.copy(self)
        view.resident = images
        return view

    @property
    def count(self) -> int:
        """Number of labelled frames of the protocol's subjects."""
        return len(self.labelled_rows(self.protocol.subjects))

    @property
    def variant(self) -> str | None:
        """Name of the data set's variant with this number of labelled frames."""
        return {count: name for name, count in self.protocol.variants.items()}.get(self.count)

    def split(self, fold: int, *, validation: bool) -> FoldSplit:
        """Return the frames of a fold.

        Args:
            fold: Number of the fold, from 1.
            validation: Whether to hold out validation subjects of the training parts.

        Raises:
            UsageError: There are too few training subjects to hold out any.
        """
        training = self.protocol.train_subjects(fold)
        val = self._validation_subjects(fold, sorted(training)) if validation else frozenset()
        test = self.protocol.test_subjects(fold)
        return FoldSplit(fold, self.labelled_rows(training - val), self.labelled_rows(val), self.labelled_rows(test))

    def prevalence(self, rows: Rows) -> dict[str, tuple[int, int]]:
        """Return the numbers of positive and of known labels among some frames by AU."""
        labels = self.labels[rows]
        counted = zip((labels == 1).sum(0).tolist(), (labels >= 0).sum(0).tolist(), strict=True)
        return {f"AU{au}": pair for au, pair in zip(self.protocol.aus, counted, strict=True)}

    def _validation_subjects(self, fold: int, training: list[str]) -> frozenset[str]:
        """Return the subject-exclusive draw whose AU rates are nearest to those of all training subjects.

        The draws depend on the protocol and the fold alone, so all methods, seeds and modalities share them.
        """
        rule = self.protocol.validation
        if len(training) < 2:
            raise UsageError(
                f"fold {fold} has one training subject, and none to validate on",
                where=self.protocol.name,
                hint="use --selection last",
            )
        rows = [self.labels[self.labelled_rows({subject})] for subject in training]
        positive = np.array([(labels == 1).sum(0) for labels in rows])
        known = np.array([(labels >= 0).sum(0) for labels in rows])
        target = positive.sum(0) / known.sum(0).clip(1)
        rng = np.random.RandomState(int(self.protocol.seed[:7], 16) + fold)
        size = math.ceil(rule.fraction * len(training))
        draws = [np.sort(rng.permutation(len(training))[:size]) for _ in range(rule.candidates)]
        distance = [np.abs(positive[v].sum(0) / known[v].sum(0).clip(1) - target).sum() for v in draws]
        return frozenset(training[i] for i in draws[int(np.argmin(distance))])


def _require(store: Store, protocol: Protocol) -> None:
    if store.info.dataset != protocol.dataset:
        raise DataError(f"holds {store.info.dataset}, but {protocol.name} is on {protocol.dataset}", where=store.path)
    if missing := set(protocol.modalities) - set(store.info.modalities):
        raise DataError(f"has no {min(missing)} images", where=store.path, hint="narrow the protocol with --modalities")
    if unlabelled := set(protocol.aus) - set(store.aus):
        raise DataError(f"has no labels of AU{min(unlabelled)}", where=store.path)
    if absent := protocol.subjects - set(store.frames.loc[store.frames["labelled"], "subject"]):
        names = " ".join(sorted(absent)[:5]) + (" …" if len(absent) > 5 else "")
        raise DataError(
            f"lacks {len(absent)} of the {len(protocol.subjects)} subjects of {protocol.name} ({names})",
            where=store.path,
            hint="prepare the complete delivery",
        )
