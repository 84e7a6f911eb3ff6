"""Search for the records of finished runs in folders of runs."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from aubench.core import system_files
from aubench.core.errors import DataError
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.results import counts as counts_file
from aubench.results import record as record_file
from aubench.results.run_folder import RECORD_DIR, RUN_FILE

T = TypeVar("T")


def find_finished_records(run: Path) -> tuple[list[StoredRecord], list[Finding]]:
    """Read the records of finished runs, as :func:`map_finished_records` does."""
    return map_finished_records(lambda stored: stored, run)


def map_finished_records(function: Callable[[StoredRecord], T], run: Path) -> tuple[list[T], list[Finding]]:
    """Read the records of finished runs one by one.

    Args:
        function: Function of a record. The content of a record that it does not return leaves the memory.
        run: Run folder, its ``record`` folder, or a folder with runs at any depth, also behind links.

    Returns:
        Results of the function, and a finding for each skipped run: one without a record, with missing folds, or that
        is a copy. A run given by its own folder may have missing folds. Of copies, one with the most conditions counts.

    Raises:
        DataError: No finished run has a record.
        RecordError: A record cannot be read.
    """
    if not run.is_dir():
        raise DataError("no such folder", where=run, hint="give the folder of a finished run")
    for folder in (run, run / RECORD_DIR):
        if (folder / record_file.FILE).is_file():
            return [function(StoredRecord(folder, record_file.read(folder)))], []
    paths = system_files.files_named(run, RUN_FILE, record_file.FILE)
    run_dirs = [path.parent for path in paths if path.name == RUN_FILE]
    unfinished = (folder for folder in run_dirs if not (folder / RECORD_DIR / record_file.FILE).is_file())
    skipped = [Finding(folder, "has no record yet") for folder in unfinished]
    finished: dict[Hashable, _Finished[T]] = {}
    copies: list[tuple[Hashable, Path]] = []
    for path in (path for path in paths if path.name == record_file.FILE):
        stored = StoredRecord(path.parent, record_file.read(path.parent))
        if stored.is_complete:
            key, new = copy_key(stored), _Finished(stored.folder, copy_rank(stored), function(stored))
            previous = finished.get(key, new)
            finished[key] = max(previous, new, key=lambda entry: entry.rank)
            copies += [(key, entry.folder) for entry in (previous, new) if entry is not finished[key]]
        else:
            folds = f"{len(stored.info.folds)} of {stored.info.protocol.fold_count} folds"
            skipped.append(Finding(path.parent, f"has {folds}; to include it, give its own folder"))
    if not finished:
        count = f", {len(skipped)} unfinished" if skipped else ""
        raise DataError(f"no record of a finished run here{count}", where=run, hint="give the folder of a finished run")
    skipped += [Finding(folder, f"is a copy of {finished[key].folder}") for key, folder in copies]
    return [entry.result for entry in sorted(finished.values(), key=lambda entry: entry.folder)], skipped


@dataclass(frozen=True)
class _Finished(Generic[T]):
    """Result of a function of the record of a finished run.

    Attributes:
        folder: Folder of the record.
        rank: Rank among copies of the record.
        result: Result of the function.
    """

    folder: Path
    rank: tuple[int, bool]
    result: T


def copy_key(stored: StoredRecord) -> Hashable:
    """Return what the copies of a record share, even if some were evaluated under more conditions."""
    table = stored.record.count_table
    conditions = table.column("condition")
    clean = slice(bisect_left(conditions, counts_file.CLEAN), bisect_right(conditions, counts_file.CLEAN))
    checkpoints = tuple(fold.checkpoint for fold in stored.info.folds)
    return stored.info.run, checkpoints, hashlib.sha256(table.cells[clean].tobytes()).hexdigest()


def copy_rank(stored: StoredRecord) -> tuple[int, bool]:
    """Return the number of conditions of a record, and whether its folder is that of a run or of a leaderboard."""
    return len(stored.info.conditions), stored.info.run in (stored.folder.name, stored.folder.parent.name)
