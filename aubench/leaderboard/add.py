"""Taking the records of finished runs into a leaderboard."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aubench.core import registry
from aubench.core.errors import RecordError
from aubench.leaderboard import records, verify
from aubench.leaderboard.records import RECORDS, Finding, StoredRecord
from aubench.leaderboard.verify import ProtocolLookup
from aubench.results import record as record_file
from aubench.results.record import Record

_VARIABLE = ("conditions", "schema_version", "tables", "stored_summary")
"""Fields in which a record may differ from one of the same run with fewer conditions."""


@dataclass(frozen=True)
class AddResult:
    """What became of the runs in a folder.

    Attributes:
        places: Where their records lie now.
        unfinished: Runs that were passed over, and why.
    """

    paths: tuple[Path, ...]
    skipped_runs: tuple[Finding, ...]


def add(runs: Sequence[Path], root: Path, known: ProtocolLookup = registry.find_protocol) -> AddResult:
    """Check the records of runs, or of every finished run in folders, and copy them; all of them or none.

    Args:
        runs: Runs' folders, their ``record`` folders, or folders that hold runs at any depth. A run that is named
            itself may lack folds; in a folder of runs such a one is passed over. One that is named twice counts once.
        root: The leaderboard's folder; made where it is missing.
        known: Finds the installed protocol of a name.

    Returns:
        Where the records lie now. A record that lies there already is left as it is; one that differs only by
        having fewer conditions is replaced.

    Raises:
        DataError: There is no record of a finished run.
        RecordError: A record does not hold what it claims, or the leaderboard holds another one of the same run.
    """
    new, unfinished = _named(runs)
    there, _ = records.read_records(root)
    targets = [root / RECORDS / kept.record.relative_path for kept in new]
    others = [kept for kept in there if kept.folder not in targets]
    proofs = (finding for kept in new for finding in (*verify.check_record(kept), *verify.check_protocol(kept, known)))
    if findings := [*proofs, *verify.check_duplicates([*others, *new])]:
        raise RecordError(findings[0].what, where=findings[0].path)
    _place(new, targets, root)
    return AddResult(tuple(targets), unfinished)


def _named(runs: Sequence[Path]) -> tuple[list[StoredRecord], tuple[Finding, ...]]:
    """The records of some folders, and the runs that were passed over in them, each once."""
    found: dict[Path, StoredRecord] = {}
    unfinished: dict[Path, Finding] = {}
    for run in runs:
        finished, passed_over = records.find_finished_records(run)
        found |= {kept.folder.resolve(): kept for kept in finished}
        unfinished |= {finding.path.resolve(): finding for finding in passed_over}
    return list(found.values()), tuple(finding for path, finding in unfinished.items() if path not in found)


def _place(new: list[StoredRecord], targets: list[Path], root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".adding.") as stage:
        made = [Path(stage, str(i)) for i in range(len(new))]
        for kept, folder in zip(new, made, strict=True):
            kept.record.write(folder)
        to_move = [
            (folder, target)
            for kept, folder, target in zip(new, made, targets, strict=True)
            if _is_new(kept.record, folder, target)
        ]
        for number, (folder, target) in enumerate(to_move):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rename(Path(stage, f"replaced{number}"))
            folder.rename(target)


def _is_new(record: Record, written: Path, target: Path) -> bool:
    """Whether a record has something to add to what lies at its place, if anything does.

    Raises:
        RecordError: Another record of the run lies there.
    """
    if not target.exists():
        return True
    for name in record_file.FILES:
        if not (target / name).is_file() or (written / name).read_bytes() != (target / name).read_bytes():
            if _has_more(record, target):
                return True
            raise RecordError(
                "the leaderboard holds another record of this run", where=target / name, hint="remove that folder first"
            )
    return False


def _has_more(record: Record, target: Path) -> bool:
    """Whether a record differs from the one at its place by further conditions alone."""
    try:
        old = record_file.read(target)
    except RecordError:
        return False
    known = old.info.conditions
    tables = ((record.counts, old.counts), (record.histograms, old.histograms))
    return (
        set(known) < set(record.info.conditions)
        and record.info.model_copy(update={field: getattr(old.info, field) for field in _VARIABLE}) == old.info
        and all(ours[ours["condition"].isin(known)].reset_index(drop=True).equals(theirs) for ours, theirs in tables)
    )
