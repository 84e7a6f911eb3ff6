"""Addition of the records of finished runs to a leaderboard."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aubench._util import locks
from aubench.core import registry
from aubench.core.errors import RecordError
from aubench.leaderboard import finished_records, verified_records, verify
from aubench.leaderboard.cross_checks import check_together
from aubench.leaderboard.record_keys import IndexedRecord, RecordKeys, keys_of
from aubench.leaderboard.records import LOCK, RECORDS, STAGING, Finding, StoredRecord, raise_first
from aubench.results import record as record_file
from aubench.results.record import Record

_REPLACED = "replaced"
"""First part of the names of replaced records in a temporary folder."""
_INSTALL = "copy its file into protocols/ and install aubench from there (docs/datasets.md)"
"""Remedy for a run of a protocol that is not installed."""
_VARIABLE = ("conditions", "corruptions", "schema_version", "tables", "stored_summary")
"""Fields in which a record may differ from one of the same run with fewer conditions."""


@dataclass(frozen=True)
class AddResult:
    """Outcome of an addition.

    Attributes:
        paths: Folders of the records in the leaderboard.
        skipped_runs: Runs that were not added, with the reason.
        unchanged: Those of ``paths`` that the leaderboard had already.
    """

    paths: tuple[Path, ...]
    skipped_runs: tuple[Finding, ...]
    unchanged: frozenset[Path]


def add(folders: Sequence[Path], root: Path) -> AddResult:
    """Verify records of finished runs and copy them, all or none.

    A record that the leaderboard has already is left unchanged. A record with more conditions, or with learning curves,
    replaces one of the same run without them.

    Args:
        folders: Run folders, their ``record`` folders, or folders with runs at any depth. Runs that lack folds are
            skipped unless given by their own folder, and so are runs of protocols that are not installed. A run that is
            named twice counts once.
        root: Leaderboard folder; created if it is missing.

    Raises:
        DataError: No finished run has a record.
        RecordError: A record is wrong, or the leaderboard has another record of the same run.
    """
    new, skipped = _find_records(folders)
    raise_first(finding for run in new for finding in run.findings)
    indexed = [IndexedRecord(run.folder, run.keys) for run in new if run.keys]
    targets = [root / RECORDS / Path(*run.keys.path) for run in indexed]
    is_new_folder = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    try:
        with locks.exclusive(root / LOCK):
            _clean_up(root)
            existing, _ = verified_records.load_index(root)
            others = [run for run in existing if run.folder not in targets]
            raise_first(check_together([*others, *indexed], {run.folder for run in new}))
            changed = _copy(indexed, targets, root)
    except RecordError:
        if is_new_folder:
            with suppress(OSError):
                root.rmdir()
        raise
    return AddResult(tuple(targets), skipped, frozenset(targets) - changed)


@dataclass(frozen=True)
class _CheckedRecord:
    """Record of a run without its tables, which would fill the memory if there are many runs.

    Attributes:
        folder: Folder of the record.
        foreign: Finding that its protocol is not installed; None if it is.
        findings: Problems of the record.
        keys: Its keys if it has no problems.
    """

    folder: Path
    foreign: Finding | None = None
    findings: Sequence[Finding] = ()
    keys: RecordKeys | None = None


def _check(run: StoredRecord) -> _CheckedRecord:
    if run.info.protocol.name not in registry.builtin_protocols():
        what = f"is of the protocol '{run.info.protocol.name}', which is not installed"
        return _CheckedRecord(run.folder, Finding(run.folder, what))
    findings = verify.check_record(run)
    findings = [*verify.check_protocol(run, registry.find_protocol, is_sound=not findings), *findings]
    keys = None if findings else keys_of(run, tuple((run.record.file_digests or {}).items()))
    return _CheckedRecord(run.folder, None, findings, keys)


def _find_records(folders: Sequence[Path]) -> tuple[list[_CheckedRecord], tuple[Finding, ...]]:
    """List the records in some folders and the skipped runs, each once.

    Raises:
        RecordError: A run given by its own folder, or all runs, are of protocols that are not installed.
    """
    runs: dict[Path, _CheckedRecord] = {}
    skipped: dict[Path, Finding] = {}
    for folder in folders:
        finished, unfinished = finished_records.map_finished_records(_check, folder)
        foreign = [run.foreign for run in finished if run.foreign]
        if len(foreign) == len(finished):
            raise_first(foreign, _INSTALL)
        runs |= {run.folder.resolve(): run for run in finished if not run.foreign}
        reasons = [Finding(finding.path, f"{finding.what}; {_INSTALL}") for finding in foreign]
        skipped |= {finding.path.resolve(): finding for finding in (*unfinished, *reasons)}
    return list(runs.values()), tuple(finding for path, finding in skipped.items() if path not in runs)


def _copy(runs: list[IndexedRecord], targets: list[Path], root: Path) -> set[Path]:
    """Copy records, and return the targets that changed."""
    with tempfile.TemporaryDirectory(dir=root, prefix=STAGING) as staging:
        changes = []
        for i, (run, target) in enumerate(zip(runs, targets, strict=True)):
            staged, record = Path(staging, str(i)), _read_unchanged(run)
            record.write(staged)
            if _is_new(record, staged, target):
                changes.append((staged, target))
        _move(changes, Path(staging))
    return {target for _, target in changes}


def _read_unchanged(run: IndexedRecord) -> Record:
    """Read a checked record again.

    Raises:
        RecordError: It has changed since the check.
    """
    record = record_file.read(run.folder)
    if tuple((record.file_digests or {}).items()) != run.keys.files:
        raise RecordError("changed while it was added", where=run.folder, hint="repeat the command")
    return record


def _move(changes: Sequence[tuple[Path, Path]], staging: Path) -> None:
    """Move staged folders to their targets, all or none; targets that exist move to ``staging``."""
    moves = [(folder, target, staging / f"{_REPLACED}{i}") for i, (folder, target) in enumerate(changes)]
    try:
        for folder, target, replaced in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rename(replaced)
            folder.rename(target)
    except BaseException:
        for folder, target, replaced in moves:
            if not folder.exists():
                target.rename(folder)
            if replaced.exists():
                replaced.rename(target)
        raise


def _clean_up(root: Path) -> None:
    """Remove the temporary folders of killed processes; records that were about to be replaced move back."""
    for staging in (path for path in root.glob(f"{STAGING}*") if path.is_dir() and not path.is_symlink()):
        for replaced in staging.glob(f"{_REPLACED}*"):
            target = root / RECORDS / record_file.read(replaced).relative_path
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                replaced.rename(target)
        shutil.rmtree(staging)


def _is_new(record: Record, staged: Path, target: Path) -> bool:
    """Return whether a record adds anything to its target folder.

    Raises:
        RecordError: The target folder has another record of the run.
    """
    if not target.exists():
        return True
    for name in record_file.ALL_FILES:
        if _content(target / name) != _content(staged / name):
            if extends(record, target):
                return True
            message = "the leaderboard holds another record of this run"
            raise RecordError(message, where=target / name, hint="remove that folder first")
    return False


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def extends(record: Record, target: Path) -> bool:
    """Return whether a record differs from that in the target folder only by more conditions or learning curves."""
    try:
        old = record_file.read(target)
    except RecordError:
        return False
    known = old.info.conditions
    has_new_curves = old.epochs is None and record.epochs is not None
    has_old_curves = old.epochs is None or (record.epochs is not None and old.epochs.equals(record.epochs))
    tables = ((record.counts, old.counts), (record.histograms, old.histograms))
    return (
        (has_new_curves or set(known) < set(record.info.conditions))
        and set(known) <= set(record.info.conditions)
        and has_old_curves
        and old.info.corruptions.items() <= record.info.corruptions.items()
        and record.info.model_copy(update={field: getattr(old.info, field) for field in _VARIABLE}) == old.info
        and all(new[new["condition"].isin(known)].reset_index(drop=True).equals(table) for new, table in tables)
    )
