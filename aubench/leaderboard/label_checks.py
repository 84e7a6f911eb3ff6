"""Checks of a record's roles, frames and labels against the protocol and the labels of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

from aubench.core.protocol import Protocol
from aubench.core.validation_draw import draw_validation, people
from aubench.leaderboard.known_labels import KnownStore, SubjectLabels, known_stores
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.results import counts as counts_file
from aubench.results import record
from aubench.results.schema import FoldInfo


def check_labels(run: StoredRecord, protocol: Protocol) -> Iterator[Finding]:
    """Check roles, frames, labels and prevalence of a record whose tables are complete.

    The labels of a store in ``protocols/labels`` are known. Of another store, the counts of a record imply the labels
    of the subjects that it tests.

    Args:
        run: Record.
        protocol: Its protocol, narrowed to its modalities.
    """
    own, known = _tested_labels(run), known_stores().get(run.info.dataset.digest)
    stored = known.of_protocol(protocol) if known else None
    labels = stored or SubjectLabels({s: c for table in own.values() for s, c in table.items()}, {})
    if known:
        yield from _store(run, protocol, known)
    yield from _labelled_frames(run, protocol)
    for i, fold in enumerate(run.info.folds):
        if stored:
            yield from _test_labels(run, protocol, fold, own[fold.fold], stored)
        yield from _frames(run, i, fold, labels)
        yield from _training_roles(run, protocol, i, fold, labels)
        yield from _prevalence(run, protocol, i, fold, labels)


def _tested_labels(run: StoredRecord) -> dict[int, dict[str, np.ndarray]]:
    """Return the positive and known labels that the clean counts imply, by fold and subject."""
    tp, fp, fn, tn = np.moveaxis(run.cells[counts_file.CLEAN], 2, 0)
    by_fold = run.by_fold(np.stack([tp + fn, tp + fp + fn + tn], axis=1))
    return {
        fold.fold: dict(zip(sorted(fold.test), labels, strict=True))
        for fold, labels in zip(run.info.folds, by_fold, strict=True)
    }


def _store(run: StoredRecord, protocol: Protocol, known: KnownStore) -> Iterator[Finding]:
    dataset = run.info.dataset
    labelled = sum(known.subjects.labelled[s] for s in protocol.subjects if s in known.subjects.labelled)
    for field, stated, expected in (
        ("name", dataset.name, known.dataset),
        ("version", dataset.version, known.version),
        ("frames", dataset.frames, known.frames),
        ("labelled", dataset.labelled, labelled if not protocol.variant else dataset.labelled),
    ):
        if stated != expected:
            yield run.finding(record.FILE, f"dataset.{field}: says {stated}, the store has {expected}")


def _labelled_frames(run: StoredRecord, protocol: Protocol) -> Iterator[Finding]:
    dataset = run.info.dataset
    if dataset.labelled > dataset.frames:
        yield run.finding(record.FILE, f"dataset.labelled: {dataset.labelled:,} of {dataset.frames:,} frames")
    variant = {count: name for name, count in protocol.variant_counts.items()}.get(dataset.labelled)
    if dataset.variant != variant:
        yield run.finding(record.FILE, f"dataset.variant: says {dataset.variant}, its frames are those of {variant}")
    for i, fold in enumerate(run.info.folds):
        frames = fold.frames.train + fold.frames.val + fold.frames.test
        has_all = {*fold.train, *fold.val, *fold.test} == protocol.subjects
        if frames > dataset.labelled or (has_all and frames != dataset.labelled):
            message = f"has {frames:,} labelled frames in its roles, the data set {dataset.labelled:,}"
            yield run.finding(record.FILE, f"folds.{i}.frames: {message}")


def _test_labels(
    run: StoredRecord, protocol: Protocol, fold: FoldInfo, own: dict[str, np.ndarray], stored: SubjectLabels
) -> Iterator[Finding]:
    for subject, labels in own.items():
        expected = stored.labels.get(subject, labels)
        if not np.array_equal(labels, expected):
            column = int(np.argwhere((labels != expected).any(axis=0))[0, 0])
            (positive, known), (true_positive, true_known) = labels[:, column], expected[:, column]
            where = f"fold {fold.fold}, subject {subject}, AU{sorted(protocol.aus)[column]}"
            message = f"{positive} of {known} labels are positive, in the store {true_positive} of {true_known}"
            yield run.finding(counts_file.FILE, f"{where}: {message}")
            return


def _frames(run: StoredRecord, i: int, fold: FoldInfo, labels: SubjectLabels) -> Iterator[Finding]:
    """Compare the frames of each role with the labelled frames of its subjects, or with the least that they need."""
    for role in ("train", "val", "test"):
        subjects, stated = getattr(fold, role), getattr(fold.frames, role)
        if labels.labelled and not {*subjects} - labels.labelled.keys():
            expected = sum(labels.labelled[subject] for subject in subjects)
            if stated != expected and not (run.info.is_submitted and role != "test"):
                message = f"says {stated:,}, its subjects have {expected:,} labelled frames"
                yield run.finding(record.FILE, f"folds.{i}.frames.{role}: {message}")
        elif not {*subjects} - labels.labels.keys():
            needed = sum(int(labels.labels[subject][1].max()) for subject in subjects)
            if stated < needed:
                message = f"says {stated:,}, the labels of its subjects need {needed:,}"
                yield run.finding(record.FILE, f"folds.{i}.frames.{role}: {message}")


def _training_roles(
    run: StoredRecord, protocol: Protocol, i: int, fold: FoldInfo, labels: SubjectLabels
) -> Iterator[Finding]:
    if run.info.is_submitted:
        return
    roles = protocol.roles(fold.fold)
    expected = roles.validation
    if run.info.selection != "inner_val":
        expected = frozenset()
    elif not expected:
        if roles.train - labels.labels.keys() or len(people(protocol, roles.train)) < 2:
            expected = frozenset(fold.val)
        else:
            expected = _drawn(protocol, fold.fold, labels)
    for role, stated, subjects in (("val", fold.val, expected), ("train", fold.train, roles.train - expected)):
        if odd := {*stated} ^ subjects:
            message = _difference(role, odd - subjects, subjects - {*stated})
            yield run.finding(record.FILE, f"folds.{i}.{role}: {message}")
            return


def _difference(role: str, extra: Iterable[str], missing: Iterable[str]) -> str:
    names, verb = (sorted(extra), "does not belong to") if extra else (sorted(missing), "is missing from")
    what = {"val": "validation subjects that the protocol draws", "train": "other subjects of the training parts"}
    return f"{names[0]} {verb} the {what[role]}"


_MAX_DRAWS = 256
"""Draws that are remembered at a time, because the records may be those of anybody."""
_draws: dict[tuple[str, int, str], frozenset[str]] = {}
"""Validation subjects by digest of the protocol, fold, and digest of the labels."""


def _drawn(protocol: Protocol, fold: int, labels: SubjectLabels) -> frozenset[str]:
    """Return the validation subjects that a protocol draws, once for equal labels."""
    subjects = protocol.roles(fold).train
    content = b"".join(labels.labels[subject].tobytes() for subject in sorted(subjects))
    key = protocol.digest, fold, hashlib.sha256(content).hexdigest()
    if key not in _draws:
        if len(_draws) == _MAX_DRAWS:
            _draws.clear()
        columns = [sorted(protocol.aus).index(au) for au in protocol.aus]
        _draws[key] = draw_validation(protocol, fold, subjects, lambda s: labels.sum(s)[:, columns])
    return _draws[key]


def _prevalence(
    run: StoredRecord, protocol: Protocol, i: int, fold: FoldInfo, labels: SubjectLabels
) -> Iterator[Finding]:
    """Compare the prevalence with the labels of the training role, with validation if predictions were submitted."""
    roles = protocol.roles(fold.fold)
    subjects = roles.train | roles.validation if run.info.is_submitted else {*fold.train}
    if subjects - labels.labels.keys():
        return
    for au, (positive, known) in zip(sorted(protocol.aus), labels.sum(subjects).T.tolist(), strict=True):
        stated = fold.train_prevalence.get(f"AU{au}")
        if stated != (positive, known):
            actual = "nothing" if stated is None else f"{stated[0]:,} of {stated[1]:,} labels"
            message = f"says {actual}, the training role has {positive:,} of {known:,}"
            yield run.finding(record.FILE, f"folds.{i}.train_prevalence.AU{au}: {message}")
            return
