"""The records of a leaderboard folder, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aubench.core.errors import DataError, RecordError
from aubench.results import record as records
from aubench.results.record import Record

RECORDS = "records"
VARIANTS = "variants"
"""A leaderboard within the leaderboard: runs that papers' tables take, of methods changed from what is ranked."""
REPRODUCED = "reproduced"
"""Papers' tables and figures with what was measured, as `aubench reproduce` writes them."""
_RECORD, _RUN = "record", "run.json"
_DEPTH = 3  # protocol, method, run


@dataclass(frozen=True)
class Finding:
    """Something wrong on a leaderboard.

    Attributes:
        path: The file or folder.
        what: The field and what is wrong with it.
    """

    path: Path
    what: str

    def __str__(self) -> str:
        return " ".join(f"{self.path}: {self.what}".split())


@dataclass(frozen=True)
class StoredRecord:
    """A record where it lies.

    Attributes:
        folder: Its folder.
        record: What it holds.
    """

    folder: Path
    record: Record

    def finding(self, file: str, what: str) -> Finding:
        """Something wrong in one of its files."""
        return Finding(self.folder / file, what)


def read_records(root: Path) -> tuple[list[StoredRecord], list[Finding]]:
    """Read every record under ``root/records``, in the order of their paths.

    Args:
        root: The leaderboard's folder.

    Returns:
        The records that can be read, and a finding for each that cannot and for each stray file.
    """
    kept: list[StoredRecord] = []
    findings: list[Finding] = []
    for folder in _run_folders(root / RECORDS, _DEPTH, findings):
        try:
            kept.append(StoredRecord(folder, records.read(folder)))
        except RecordError as error:
            findings.append(Finding(Path(str(error.where)), error.what))
        findings += [
            Finding(path, "is no file of a record")
            for path in sorted(folder.iterdir())
            if path.name not in records.FILES
        ]
    return kept, findings


def find_finished_records(run: Path) -> tuple[list[StoredRecord], list[Finding]]:
    """Read the records of runs.

    Args:
        run: A run's folder, its ``record`` folder, or a folder that holds runs at any depth.

    Returns:
        The records, and the runs that were passed over since they have none or lack folds. A run that is named
        itself may lack folds.

    Raises:
        DataError: There is no record of a finished run.
        RecordError: A record cannot be read.
    """
    if not run.is_dir():
        raise DataError("no such folder", where=run, hint="give the folder of a finished run")
    for folder in (run, run / _RECORD):
        if (folder / records.FILE).is_file():
            return [StoredRecord(folder, records.read(folder))], []
    every = [StoredRecord(path.parent, records.read(path.parent)) for path in sorted(run.rglob(records.FILE))]
    begun = sorted(path.parent for path in run.rglob(_RUN))
    unfinished = [Finding(folder, "has no record yet") for folder in begun if not (folder / _RECORD).is_dir()]
    whole = []
    for kept in every:
        done, of = len(kept.record.info.folds), kept.record.info.protocol.fold_count
        if done < of:
            unfinished.append(Finding(kept.folder, f"has {done} of {of} folds; to add it, name it itself"))
        else:
            whole.append(kept)
    if not whole:
        begun_runs = f", {len(unfinished)} unfinished" if unfinished else ""
        raise DataError(
            f"no record of a finished run here{begun_runs}", where=run, hint="give the folder of a finished run"
        )
    return whole, unfinished


def _run_folders(folder: Path, depth: int, findings: list[Finding]) -> Iterator[Path]:
    if depth == 0:
        yield folder
        return
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_symlink() or not path.is_dir():
            if path.name != ".gitkeep":
                findings.append(Finding(path, "does not belong here; records lie in <protocol>/<method>/<run>/"))
        else:
            yield from _run_folders(path, depth - 1, findings)
