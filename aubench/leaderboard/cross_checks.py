"""Checks of the records of a leaderboard against each other.

Records that are wrong by themselves are left out, so they cannot accuse others. Of two records that cannot both be
honest, the one that is not built in, that started later, or whose path is later is accused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

from aubench.leaderboard.known_labels import known_stores
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.leaderboard.text_checks import lookalike
from aubench.leaderboard.verify import row_key, run_key
from aubench.results import counts as counts_file
from aubench.results import record

_STOPPING_FIELDS = {"epochs", "patience"}
"""Recipe fields that can change without any effect on the scored weights."""


def check_together(runs: Sequence[StoredRecord], new: Set[Path] = frozenset()) -> list[Finding]:
    """Check that no run, prediction or checkpoint occurs twice, and that labels, costs and names agree.

    Args:
        runs: Records without findings.
        new: Folders of new records, which are accused first.
    """
    ordered = sorted(runs, key=lambda run: (run.folder in new, *_precedence(run)))
    checks = (_duplicates, _stores, _predictions, _checkpoints, _costs, _names)
    findings = [finding for check in checks for finding in check(ordered)]
    return [*findings, *_labels(ordered, new)]


def _precedence(run: StoredRecord) -> tuple[Any, ...]:
    info = run.info
    started = info.time.started if info.time else "~"
    return info.method.source != "builtin", started, run.folder.as_posix()


def _first_of(
    runs: Sequence[StoredRecord], key: Callable[[StoredRecord], Hashable]
) -> Iterator[tuple[StoredRecord, StoredRecord]]:
    """Yield each run with the first run of the same key, if it is another."""
    first: dict[Hashable, StoredRecord] = {}
    for run in runs:
        other = first.setdefault(key(run), run)
        if other is not run:
            yield run, other


def _duplicates(runs: Sequence[StoredRecord]) -> Iterator[Finding]:
    for run, first in _first_of(runs, run_key):
        same = "same method, recipe, protocol, precision and seed"
        yield run.finding(record.FILE, f"run: is a duplicate of {first.folder} ({same})")


def _labels(runs: Sequence[StoredRecord], new: Set[Path]) -> Iterator[Finding]:
    """Compare the labels of runs on one store; those of most methods are right."""
    stores = defaultdict[Hashable, list[StoredRecord]](list)
    for run in runs:
        if run.is_complete:
            stores[run.info.protocol.digest, run.info.dataset.digest].append(run)
    for group in stores.values():
        methods = {(run.labels, run.info.method.name) for run in group}
        votes = Counter(labels for labels, _ in methods)
        first = max(group, key=lambda run: (run.folder not in new, votes[run.labels]))
        for run in group:
            if run.labels != first.labels:
                message = f"labels differ from those of {first.folder}, which read the same store"
                yield run.finding(counts_file.FILE, message)


def _stores(runs: Sequence[StoredRecord]) -> Iterator[Finding]:
    """Refuse unknown stores of a data set version beside records of its known store."""
    known = {(store.dataset, store.version): store.digest for store in known_stores().values()}
    present = {run.info.dataset.digest for run in runs}
    for run in runs:
        dataset = run.info.dataset
        digest = known.get((dataset.name, dataset.version), dataset.digest)
        if digest != dataset.digest and digest in present:
            message = (
                f"says {dataset.digest[:12]}, the store of {dataset.name} version {dataset.version} is {digest[:12]}"
            )
            yield run.finding(record.FILE, f"dataset.digest: {message}, which other records read")


def _predictions(runs: Sequence[StoredRecord]) -> Iterator[Finding]:
    """Compare the predictions of each fold. Runs that differ in the rule that stops training may agree."""
    first: dict[tuple[str, int, str], StoredRecord] = {}
    for run in runs:
        for fold, digest in zip(run.info.folds, run.predictions, strict=True):
            other = first.setdefault((run.info.protocol.name, fold.fold, digest), run)
            if other is not run and not _may_agree(run, other):
                message = f"fold {fold.fold}: predictions are identical to those of {other.folder}"
                yield run.finding(counts_file.FILE, message)
                break


def _may_agree(run: StoredRecord, other: StoredRecord) -> bool:
    """Return whether the same method and seed were run with another rule of stopping or version."""
    a, b = run.info, other.info
    differ = {name for name in {**a.recipe, **b.recipe} if a.recipe.get(name) != b.recipe.get(name)}
    is_same_run = (a.method.name, a.seed, a.selection) == (b.method.name, b.seed, b.selection)
    return is_same_run and not a.is_submitted and differ <= _STOPPING_FIELDS and run_key(run) != run_key(other)


def _checkpoints(runs: Sequence[StoredRecord]) -> Iterator[Finding]:
    first: dict[str, StoredRecord] = {}
    for run in runs:
        for i, fold in enumerate(run.info.folds):
            if fold.checkpoint and (other := first.setdefault(fold.checkpoint, run)) is not run:
                yield run.finding(record.FILE, f"folds.{i}.checkpoint: is that of {other.folder}")
                break


def _costs(runs: Sequence[StoredRecord]) -> Iterator[Finding]:
    """Compare the cost of seeds; that of most seeds is right."""
    rows = defaultdict[str, list[StoredRecord]](list)
    for run in runs:
        if run.info.compute is not None:
            rows[row_key(run)].append(run)
    for group in rows.values():
        costs = [run.info.compute.model_dump_json(exclude={"uncounted"}) for run in group if run.info.compute]
        usual = max(costs, key=costs.count)
        for run, cost in zip(group, costs, strict=True):
            if cost != usual:
                other = group[costs.index(usual)]
                yield run.finding(record.FILE, f"compute: differs from that of {other.folder}, another seed")


def _names(runs: Sequence[StoredRecord]) -> Iterator[Finding]:
    """Compare the names of methods, and the titles of different ones."""
    first: dict[tuple[str, str], StoredRecord] = {}
    for run in runs:
        method = run.info.method
        for field, name in (("name", method.name), ("title", method.title)):
            other = first.setdefault((field, lookalike(name)), run)
            of_other = other.info.method
            is_submitted = run.info.is_submitted or other.info.is_submitted
            is_same = name == (of_other.name if field == "name" else of_other.title)
            if method.name != of_other.name and not (is_same and is_submitted):
                yield run.finding(record.FILE, f"method.{field}: '{name}' reads like that of {other.folder}")
