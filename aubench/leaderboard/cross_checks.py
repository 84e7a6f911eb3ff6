"""Checks of the records of a leaderboard against each other.

Records that are wrong by themselves are left out, so they cannot accuse others. Of two records that cannot both be
honest, the finding is about a new one, or else about the one that is not built in, that started later, or whose path
is later. Messages on copies say if it is not known which record is the copy.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

from aubench.leaderboard.known_labels import known_digest
from aubench.leaderboard.record_keys import IndexedRecord
from aubench.leaderboard.records import Finding
from aubench.leaderboard.text_checks import lookalike
from aubench.results import counts as counts_file
from aubench.results import record


def check_together(runs: Sequence[IndexedRecord], new: Set[Path] = frozenset()) -> list[Finding]:
    """Check that no run, prediction or checkpoint occurs twice, and that labels, costs and names agree.

    Args:
        runs: Records without findings.
        new: Folders of new records, which are accused first.
    """
    ordered = sorted(runs, key=lambda run: (run.folder in new, *_precedence(run)))
    checks = (_duplicates, _stores, _costs, _names)
    checks_of_new = (_labels, _predictions, _checkpoints)
    findings = [finding for check in checks for finding in check(ordered)]
    return [*findings, *(finding for check in checks_of_new for finding in check(ordered, new))]


def _precedence(run: IndexedRecord) -> tuple[Any, ...]:
    return run.keys.source != "builtin", run.keys.started, run.folder.as_posix()


def _first_of(
    runs: Sequence[IndexedRecord], key: Callable[[IndexedRecord], Hashable]
) -> Iterator[tuple[IndexedRecord, IndexedRecord]]:
    """Yield each run with the first run of the same key, if it is another."""
    first: dict[Hashable, IndexedRecord] = {}
    for run in runs:
        other = first.setdefault(key(run), run)
        if other is not run:
            yield run, other


def _duplicates(runs: Sequence[IndexedRecord]) -> Iterator[Finding]:
    for run, first in _first_of(runs, lambda run: run.keys.duplicate):
        same = "same method, recipe, protocol, precision and seed"
        remedy = "; delete the folder of the older predictions" if run.keys.is_submitted else ""
        yield run.finding(record.FILE, f"run: is a duplicate of {first.folder} ({same}){remedy}")


def _labels(runs: Sequence[IndexedRecord], new: Set[Path]) -> Iterator[Finding]:
    """Compare the labels of runs on one store; those of most methods are right."""
    stores = defaultdict[Hashable, list[IndexedRecord]](list)
    for run in runs:
        if run.keys.is_complete:
            stores[run.keys.protocol_digest, run.keys.dataset[2]].append(run)
    for group in stores.values():
        methods = {(run.keys.labels, run.keys.method) for run in group}
        votes = Counter(labels for labels, _ in methods)
        first = max(group, key=lambda run: (run.folder not in new, votes[run.keys.labels]))
        for run in group:
            if run.keys.labels != first.keys.labels:
                message = f"labels differ from those of {first.folder}, which read the same store"
                yield run.finding(counts_file.FILE, message)


def _stores(runs: Sequence[IndexedRecord]) -> Iterator[Finding]:
    """Refuse unknown stores of a data set version beside records of its known store."""
    present = {run.keys.dataset[2] for run in runs}
    for run in runs:
        name, version, stated = run.keys.dataset
        digest = known_digest(name, version) or stated
        if digest != stated and digest in present:
            message = f"says {stated[:12]}, the store of {name} version {version} is {digest[:12]}"
            yield run.finding(record.FILE, f"dataset.digest: {message}, which other records read")


def _predictions(runs: Sequence[IndexedRecord], new: Set[Path]) -> Iterator[Finding]:
    """Compare the predictions of each fold. Runs that differ in the rule that stops training may agree."""
    first: dict[tuple[str, int, str], IndexedRecord] = {}
    for run in runs:
        digests = [
            (fold.fold, what, digest)
            for fold in run.keys.folds
            for what, digest in (("predictions", fold.predictions), ("confusion counts", fold.counts))
            if digest
        ]
        for fold_number, what, digest in digests:
            other = first.setdefault((run.keys.protocol, fold_number, digest), run)
            if other is not run and not _may_agree(run, other):
                message = f"fold {fold_number}: {what} are identical to those of {other.folder}"
                yield run.finding(counts_file.FILE, message + _doubt(run, other, new))
                break


def _doubt(run: IndexedRecord, other: IndexedRecord, new: Set[Path]) -> str:
    """Return what is to be added to a message on two records of which the first may be a copy of the other."""
    return "" if run.folder in new and other.folder not in new else "; either of the two may be the copy"


def _may_agree(run: IndexedRecord, other: IndexedRecord) -> bool:
    """Return whether the same method and seed were run with another rule of stopping or version."""
    a, b = run.keys, other.keys
    same = [(keys.method, keys.seed, keys.selection, keys.precision, keys.recipe) for keys in (a, b)]
    return same[0] == same[1] and not a.is_submitted and a.duplicate != b.duplicate


def _checkpoints(runs: Sequence[IndexedRecord], new: Set[Path]) -> Iterator[Finding]:
    first: dict[str, IndexedRecord] = {}
    for run in runs:
        for i, fold in enumerate(run.keys.folds):
            if fold.checkpoint and (other := first.setdefault(fold.checkpoint, run)) is not run:
                message = f"folds.{i}.checkpoint: is that of {other.folder}" + _doubt(run, other, new)
                yield run.finding(record.FILE, message)
                break


def _costs(runs: Sequence[IndexedRecord]) -> Iterator[Finding]:
    """Compare the cost of seeds; that of most seeds is right."""
    rows = defaultdict[str, list[IndexedRecord]](list)
    for run in runs:
        if run.keys.cost is not None:
            rows[run.keys.row].append(run)
    for group in rows.values():
        costs = [run.keys.cost for run in group]
        usual = max(costs, key=costs.count)
        for run, cost in zip(group, costs, strict=True):
            if cost != usual:
                other = group[costs.index(usual)]
                yield run.finding(record.FILE, f"compute: differs from that of {other.folder}, another seed")


def _names(runs: Sequence[IndexedRecord]) -> Iterator[Finding]:
    """Compare the names of methods, and the titles of different ones."""
    first: dict[tuple[str, str], IndexedRecord] = {}
    for run in runs:
        keys = run.keys
        for field, name in (("name", keys.method), ("title", keys.title)):
            other = first.setdefault((field, lookalike(name)), run)
            is_submitted = keys.is_submitted or other.keys.is_submitted
            is_same = name == (other.keys.method if field == "name" else other.keys.title)
            if keys.method != other.keys.method and not (is_same and is_submitted):
                yield run.finding(record.FILE, f"method.{field}: '{name}' reads like that of {other.folder}")
