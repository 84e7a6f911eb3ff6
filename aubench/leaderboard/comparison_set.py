"""Selection of comparable entries from folders of runs and from the leaderboard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from aubench.core import system_files
from aubench.core.conditions import kind_of
from aubench.core.errors import RecordError, UsageError, suggest
from aubench.leaderboard import finished_records, records, tables, verify
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.records import RECORDS, Finding, StoredRecord

_USAGE = "give run folders, or METHOD@PROTOCOL of the leaderboard"


@dataclass(frozen=True)
class ComparisonSet:
    """Comparable entries.

    Attributes:
        entries: At least two entries, by method and recipe.
        skipped_runs: Runs that are not part of the comparison, with the reason.
    """

    entries: tuple[Entry, ...]
    skipped_runs: tuple[Finding, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Unique name of each entry."""
        return tables.unique_names(self.entries)


def load_comparison_set(words: Sequence[str], root: Path) -> ComparisonSet:
    """Load and verify records, and check that they are comparable.

    Args:
        words: Folders of runs or records, at any depth, or ``METHOD@PROTOCOL`` for all its runs on the leaderboard. A
            run that is named twice counts once. Of its copies, one with the most conditions counts.
        root: Leaderboard folder.

    Raises:
        UsageError: A name or folder does not exist, a run given by its own folder lacks folds, there is only one entry,
            or protocol, store, selection rule or labels differ.
        DataError: A folder has no finished run.
        RecordError: A record is wrong, or two different records are of the same run.
    """
    loaded: list[StoredRecord] = []
    skipped: list[Finding] = []
    for word in words:
        finished, unfinished = _resolve(word, root)
        loaded += finished
        skipped += unfinished
    if not loaded:
        raise UsageError("nothing to compare", hint=_USAGE)
    for run in loaded:
        _check(run)
    runs = _unique_runs(loaded)
    _check_comparable(runs)
    entries = [Entry.from_runs(group) for _, group in groupby(sorted(runs, key=_sort_key), key=verify.row_key)]
    if len(entries) < 2:
        raise UsageError(f"only {entries[0].name} to compare", hint=f"name two; {_USAGE}")
    return ComparisonSet(tuple(entries), tuple(skipped))


def with_condition(compared: ComparisonSet, condition: str) -> ComparisonSet:
    """Keep only runs evaluated under ``condition``; report the others as skipped.

    Raises:
        UsageError: Fewer than two entries remain, or the code of a plug-in corruption differs between runs.
    """
    runs = [run for entry in compared.entries for run in entry.runs]
    tested = [[run for run in entry.runs if condition in run.info.conditions] for entry in compared.entries]
    entries = tuple(Entry.from_runs(group) for group in tested if group)
    name = kind_of(condition)
    if len({run.info.corruptions.get(name) for entry in entries for run in entry.runs}) > 1:
        hint = "evaluate all runs under it with the present code by `aubench robustness`"
        raise UsageError(f"the runs were evaluated under '{condition}' with different code of '{name}'", hint=hint)
    if len(entries) < 2:
        known = {name for run in runs for name in run.info.conditions}
        hint = "evaluate the others under it with `aubench robustness`" if entries else suggest(condition, known)
        share = f"{len(entries) or 'none'} of {len(compared.entries)} to compare"
        raise UsageError(f"{share} has the condition '{condition}'", hint=hint)
    untested = [run for run in runs if condition not in run.info.conditions]
    skipped = tuple(Finding(run.folder, f"does not have the condition '{condition}'") for run in untested)
    return ComparisonSet(entries, (*compared.skipped_runs, *skipped))


def _resolve(word: str, root: Path) -> tuple[list[StoredRecord], list[Finding]]:
    method, at, protocol = word.rpartition("@")
    if Path(word).exists() or not at:
        if not Path(word).is_dir():
            raise UsageError("no such folder", where=word, hint=_USAGE)
        return finished_records.find_finished_records(Path(word))
    if not method or not protocol:
        raise UsageError("names no method or no protocol", where=word, hint=_USAGE)
    if not (root / RECORDS).is_dir():
        raise UsageError("no leaderboard here", where=root, hint="give its folder with --root, or folders of runs")
    folder = root / RECORDS / protocol
    for part, parent in ((protocol, folder.parent), (method, folder)):
        names = [path.name for path in system_files.children(parent)]
        if part not in names:
            raise UsageError(f"no record of '{part}'", where=parent, hint=suggest(part, names))
    return finished_records.find_finished_records(folder / method)


def _check(run: StoredRecord) -> None:
    if not run.is_complete:
        folds = f"{len(run.info.folds)} of {run.info.protocol.fold_count} folds"
        raise UsageError(f"has {folds}", where=run.folder, hint="finish it")
    records.raise_first(verify.check_record(run))


def _unique_runs(runs: Iterable[StoredRecord]) -> list[StoredRecord]:
    """Return one record of each run: of copies, one with the most conditions."""
    by_key: dict[str, StoredRecord] = {}
    for run in runs:
        key = verify.run_key(run)
        first = by_key.get(key, run)
        if finished_records.copy_key(first) != finished_records.copy_key(run):
            hint = "delete the folder of the older one"
            raise RecordError(f"is another record of the run in {first.folder}", where=run.folder, hint=hint)
        by_key[key] = max(first, run, key=finished_records.copy_rank)
    return list(by_key.values())


def _check_comparable(runs: Sequence[StoredRecord]) -> None:
    """Require one protocol, selection rule, store and set of labels. The offered modalities may differ.

    Submitted predictions, whose selection rule is unknown, are comparable with all others.
    """
    first = runs[0].info
    selection = next((run.info.selection for run in runs if not run.info.is_submitted), first.selection)
    digests = {first.protocol.modalities: first.protocol.digest}
    for run in runs[1:]:
        info = run.info
        digest = digests.setdefault(info.protocol.modalities, info.protocol.digest)
        for what, expected, actual in (
            ("protocol", _versioned(runs[0]), _versioned(run)),
            ("digest of the protocol", digest[:12], info.protocol.digest[:12]),
            ("selection rule", selection, selection if info.is_submitted else info.selection),
            ("store", first.dataset.digest[:12], info.dataset.digest[:12]),
            ("test labels", runs[0].labels[:12], run.labels[:12]),
        ):
            if expected != actual:
                message = f"{what}: {actual} cannot be compared with {expected}"
                raise UsageError(message, where=run.folder, hint=f"the latter is that of {runs[0].folder}")


def _versioned(run: StoredRecord) -> str:
    return f"{run.info.protocol.name} {run.info.protocol.version}"


def _sort_key(run: StoredRecord) -> tuple[str, str, int]:
    return run.info.method.name, verify.row_key(run), run.info.seed
