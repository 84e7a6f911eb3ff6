"""Training, validation and test frames of each fold, disjoint in subjects."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench.core.errors import DataError, UsageError
from aubench.core.protocol import Protocol
from aubench.core.protocol_rules import frame_ranges
from aubench.core.validation_draw import LabelCounts, draw_validation, people
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
        store: Store of the data set, or the joined store of several.
        protocol: AUs, label rules, subjects and folds.

    Attributes:
        labels: int8 (frames, AUs): 1 present, 0 absent, -1 unknown.
        subjects: Subject of each frame.
        sequences: Number of the sequence of each frame.
        resident: Images in a device's memory; None if all are read from the store.

    Raises:
        DataError: The store has no frames of a subject, no images of a modality, no labels of an AU, or labels of
            another kind than the protocol's rule.
    """

    labels: npt.NDArray[np.int8]
    resident: ResidentImages | None = None

    def __init__(self, store: Store, protocol: Protocol) -> None:
        _require(store, protocol)
        self._index(store, protocol)
        self.labels = np.concatenate([_labels(member, protocol) for member in store.members])
        self._labelled = store.frames["labelled"].to_numpy(bool, copy=True)
        self._leave_out_frames()

    @classmethod
    def unlabelled(cls, store: Store, protocol: Protocol) -> Self:
        """Return all frames of any store without labels, for pre-training under a protocol."""
        data = cls.__new__(cls)
        data._index(store, protocol)
        return data

    def _index(self, store: Store, protocol: Protocol) -> None:
        """Set all attributes, with unknown labels."""
        self.store, self.protocol = store, protocol
        self.labels = np.full((len(store.frames), len(protocol.aus)), -1, np.int8)
        self._labelled = np.zeros(len(store.frames), bool)
        self.subjects: npt.NDArray[np.str_] = store.frames["subject"].to_numpy(np.str_)
        self._codes, names = pd.factorize(store.frames["subject"])
        self._code_of = {name: code for code, name in enumerate(names)}
        by_sequence = store.frames.groupby(["subject", "sequence"], sort=False)
        self.sequences: Rows = np.asarray(by_sequence.ngroup(), np.int64)

    @cached_property
    def usual_steps(self) -> npt.NDArray[np.float64]:
        """Median step between the frame numbers of a sequence in each frame's data set; 1 if all have one frame."""
        numbers = self.store.frames["frame"].to_numpy(np.float64)
        steps = np.diff(numbers, prepend=np.nan)
        steps[np.diff(self.sequences, prepend=-1) != 0] = np.nan
        counts = [len(member.frames) for member in self.store.members]
        known = [part[~np.isnan(part)] for part in np.split(steps, np.cumsum(counts)[:-1])]
        return np.repeat([np.median(part) if len(part) else 1.0 for part in known], counts)

    def _leave_out_frames(self) -> None:
        """Remove the labels of the frames that the variant of the protocol leaves out."""
        sequences, numbers = (self.store.frames[name].to_numpy() for name in ("sequence", "frame"))
        for key, text in self.protocol.frames_left_out.items():
            subject, _, sequence = key.partition("/")
            rows = self.all_rows({subject})
            rows = rows[sequences[rows] == sequence] if sequence else rows
            for first, last in frame_ranges(text):
                odd = rows[(numbers[rows] >= first) & (numbers[rows] <= last)]
                self.labels[odd], self._labelled[odd] = -1, False

    def record_fields(self) -> dict[str, Any]:
        """Return the numbers of frames and of labelled frames, and the variant, as the record of a run states them."""
        return {"frames": len(self.store.frames), "labelled": self.count, "variant": self.variant}

    def names(self, rows: Rows) -> list[tuple[str, str, int]]:
        """Return subject, sequence and number of frames."""
        frames = self.store.frames.iloc[rows]
        return list(zip(*(frames[name].tolist() for name in ("subject", "sequence", "frame")), strict=True))

    def labelled_rows(self, subjects: frozenset[str] | set[str]) -> Rows:
        """Return the labelled frames of subjects."""
        return np.flatnonzero(self._labelled & self._is_of(subjects))

    def all_rows(self, subjects: frozenset[str] | set[str]) -> Rows:
        """Return all frames of subjects, also those without labels."""
        return np.flatnonzero(self._is_of(subjects))

    def _is_of(self, subjects: frozenset[str] | set[str]) -> npt.NDArray[np.bool_]:
        selected = np.zeros(len(self._code_of), bool)
        selected[[self._code_of[subject] for subject in subjects if subject in self._code_of]] = True
        return selected[self._codes]

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
        return {count: name for name, count in self.protocol.variant_counts.items()}.get(self.count)

    def split(self, fold: int, *, validation: bool) -> FoldSplit:
        """Return the frames of a fold.

        Args:
            fold: Number of the fold, from 1.
            validation: Whether to validate: on the subjects that the protocol states, or on some of the training parts.

        Raises:
            UsageError: There are too few training subjects to hold out any.
        """
        training, stated, test = self.protocol.roles(fold)
        val = stated or self._validation_subjects(fold, training) if validation else frozenset()
        return FoldSplit(fold, self.labelled_rows(training - val), self.labelled_rows(val), self.labelled_rows(test))

    def prevalence(self, rows: Rows) -> dict[str, tuple[int, int]]:
        """Return the numbers of positive and of known labels among some frames by AU."""
        labels = self.labels[rows]
        counted = zip((labels == 1).sum(0).tolist(), (labels >= 0).sum(0).tolist(), strict=True)
        return {f"AU{au}": pair for au, pair in zip(self.protocol.aus, counted, strict=True)}

    def _validation_subjects(self, fold: int, subjects: frozenset[str]) -> frozenset[str]:
        """Return some training subjects, drawn by :func:`aubench.core.validation_draw.draw_validation`."""
        if len(people(self.protocol, subjects)) < 2:
            raise UsageError(
                f"fold {fold} has one training subject, and none to validate on",
                where=self.protocol.name,
                hint="use --selection last",
            )

        def labels_of(person: frozenset[str]) -> LabelCounts:
            labels = self.labels[self.labelled_rows(person)]
            return np.stack([(labels == 1).sum(0), (labels >= 0).sum(0)])

        return draw_validation(self.protocol, fold, subjects, labels_of)


def _labels(store: Store, protocol: Protocol) -> npt.NDArray[np.int8]:
    """Return the labels of a store under its label rule, (frames, AUs)."""
    stored = store.frames[[f"AU{au}" for au in protocol.aus]].to_numpy(np.int8)
    rule = protocol.label_rules[store.info.dataset]
    kind, _, lowest = rule.partition(" >= ")
    if kind != store.info.labels:
        what = f"holds labels of {store.info.labels}, but {protocol.name} uses '{rule}'"
        raise DataError(what, where=store.path, hint="use a protocol with the label rule of this data set")
    return np.where(stored < 0, -1, stored >= int(lowest)).astype(np.int8) if lowest else stored


def _require(store: Store, protocol: Protocol) -> None:
    names = tuple(member.info.dataset for member in store.members)
    if names != protocol.datasets:
        held, needed = " and ".join(names), " and ".join(protocol.datasets)
        raise DataError(f"holds {held}, but {protocol.name} is on {needed}", where=store.path)
    for member in store.members:
        _require_member(member, protocol, store)


def _require_member(member: Store, protocol: Protocol, store: Store) -> None:
    frames = member.frames[member.frames["labelled"]]
    if missing := set(protocol.modalities) - set(member.info.modalities):
        raise DataError(
            f"has no {min(missing)} images", where=member.path, hint="narrow the protocol with --modalities"
        )
    several = len(store.members) > 1
    if unlabelled := [au for au in protocol.aus if au not in member.aus or (several and (frames[f"AU{au}"] < 0).all())]:
        hint = f"the stores share AUs {', '.join(map(str, store.aus))}" if several else None
        raise DataError(f"has no labels of AU{min(unlabelled)}", where=member.path, hint=hint)
    subjects = protocol.names_in(member.info.dataset)
    if absent := subjects - set(frames["subject"].unique()):
        names = " ".join(sorted(absent)[:5]) + (" …" if len(absent) > 5 else "")
        raise DataError(
            f"lacks {len(absent)} of the {len(subjects)} subjects of {protocol.name} ({names})",
            where=member.path,
            hint="prepare the complete delivery",
        )
