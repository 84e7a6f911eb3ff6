"""Who trains, who validates, who is tested: frames of a store by role, disjoint in subjects."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aubench.core.errors import DataError, UsageError
from aubench.core.protocol import Protocol
from aubench.data.store import Store

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FoldSplit:
    """The frames of one fold, as row numbers of the store's frame table, ascending.

    Attributes:
        fold: Its number, from 1.
        train: What the method learns from.
        val: What chooses the epoch; empty where nothing is chosen on validation subjects.
        test: What is scored.
    """

    fold: int
    train: Rows
    val: Rows
    test: Rows


class ProtocolDataset:
    """The labelled frames of a store, under a protocol.

    Args:
        store: The dataset.
        protocol: Says which AUs, which subjects, which folds.

    Attributes:
        labels: int8 (frames, AUs).
        subjects: Of each frame.
        sequences: Of each frame, by number.

    Raises:
        DataError: The store lacks a subject, a modality or an AU that the protocol needs.
    """

    def __init__(self, store: Store, protocol: Protocol) -> None:
        _require(store, protocol)
        self.store, self.protocol = store, protocol
        self.labels: npt.NDArray[np.int8] = store.frames[[f"AU{au}" for au in protocol.aus]].to_numpy(np.int8)
        self.subjects: npt.NDArray[np.str_] = store.frames["subject"].to_numpy(np.str_)
        by_sequence = store.frames.groupby(["subject", "sequence"], sort=False)
        self.sequences: Rows = np.asarray(by_sequence.ngroup(), np.int64)
        self._labelled = store.frames["labelled"].to_numpy(bool)

    def names(self, rows: Rows) -> list[tuple[str, str, int]]:
        """Subject, sequence and number of some frames."""
        found = self.store.frames.iloc[rows]
        return list(zip(found["subject"], found["sequence"], found["frame"].tolist(), strict=True))

    def labelled_rows(self, subjects: frozenset[str] | set[str]) -> Rows:
        """Labelled frames of some subjects."""
        return np.flatnonzero(self._labelled & np.isin(self.subjects, sorted(subjects)))

    def all_rows(self, subjects: frozenset[str] | set[str]) -> Rows:
        """All frames of some subjects, those without labels included."""
        return np.flatnonzero(np.isin(self.subjects, sorted(subjects)))

    def without_labels(self, rows: Rows) -> ProtocolDataset:
        """The same frames but for some, of which nobody gets to see images, points or labels.

        Args:
            rows: Those frames.
        """
        rest = copy.copy(self)
        rest.store = self.store.without_labels(rows)
        rest.labels, rest._labelled = self.labels.copy(), self._labelled.copy()
        rest.labels[rows], rest._labelled[rows] = -1, False
        return rest

    @property
    def count(self) -> int:
        """How many labelled frames the protocol's subjects have."""
        return len(self.labelled_rows(self.protocol.subjects))

    @property
    def variant(self) -> str | None:
        """Name of the known variant of the dataset with this many labelled frames."""
        return {count: name for name, count in self.protocol.variants.items()}.get(self.count)

    def split(self, fold: int, *, validation: bool) -> FoldSplit:
        """The roles of a fold.

        Args:
            fold: Its number, from 1.
            validation: Whether to take validation subjects out of the training parts.

        Raises:
            UsageError: There are none to take out.
        """
        training = self.protocol.train_subjects(fold)
        val = self._validation_subjects(fold, sorted(training)) if validation else frozenset()
        test = self.protocol.test_subjects(fold)
        return FoldSplit(fold, self.labelled_rows(training - val), self.labelled_rows(val), self.labelled_rows(test))

    def prevalence(self, rows: Rows) -> dict[str, tuple[int, int]]:
        """Per AU, how many of some frames are positive and how many are known."""
        labels = self.labels[rows]
        counted = zip((labels == 1).sum(0).tolist(), (labels >= 0).sum(0).tolist(), strict=True)
        return {f"AU{au}": pair for au, pair in zip(self.protocol.aus, counted, strict=True)}

    def _validation_subjects(self, fold: int, training: list[str]) -> frozenset[str]:
        """The subject-exclusive draw whose AU rates are nearest to those of all training subjects.

        The draws depend on the protocol and the fold alone, so every method, seed and choice of modalities meets the
        same.
        """
        from sklearn.model_selection import GroupShuffleSplit

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
        draws = GroupShuffleSplit(
            rule.candidates, test_size=rule.fraction, random_state=int(self.protocol.seed[:7], 16) + fold
        )
        chosen = [val for _, val in draws.split(training, groups=training)]
        distance = [np.abs(positive[v].sum(0) / known[v].sum(0).clip(1) - target).sum() for v in chosen]
        return frozenset(training[i] for i in chosen[int(np.argmin(distance))])


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
            hint="prepare the whole delivery",
        )
