"""Taking the records of finished runs into a leaderboard."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from aubench import registry
from aubench.board import ledger, verify
from aubench.board.ledger import RECORDS, Finding, Kept
from aubench.board.verify import Known
from aubench.errors import DataError, RecordError
from aubench.scores import record as records

_RECORD, _RUN = "record", "run.json"


@dataclass(frozen=True)
class Added:
    """What became of the runs in a folder.

    Attributes:
        places: Where their records lie now.
        unfinished: Runs that were passed over, and why.
    """

    places: tuple[Path, ...]
    unfinished: tuple[Finding, ...]


def add(run: Path, root: Path, known: Known = registry.find_protocol) -> Added:
    """Check the record of a run, or of every finished run in a folder, and copy it; all of them or none.

    Args:
        run: A run's folder, its ``record`` folder, or a folder that holds runs at any depth. A run that is named
            itself may lack folds; in a folder of runs such a one is passed over.
        root: The leaderboard's folder; made where it is missing.
        known: Finds the installed protocol of a name.

    Returns:
        Where the records lie now. A record that lies there already is left as it is.

    Raises:
        DataError: There is no record of a finished run.
        RecordError: A record does not hold what it claims, or the leaderboard holds another one of the same run.
    """
    new, unfinished = _found(run)
    there, _ = ledger.scan(root)
    targets = [root / RECORDS / kept.record.place for kept in new]
    others = [kept for kept in there if kept.folder not in targets]
    proofs = (finding for kept in new for finding in (*verify.within(kept), *verify.against_protocol(kept, known)))
    if findings := [*proofs, *verify.beside([*others, *new])]:
        raise RecordError(findings[0].what, where=findings[0].path)
    _place(new, targets, root)
    return Added(tuple(targets), tuple(unfinished))


def _found(run: Path) -> tuple[list[Kept], list[Finding]]:
    """Records to add, and the runs that have none or lack folds."""
    if not run.is_dir():
        raise DataError("no such folder", where=run, hint="give the folder of a finished run")
    for folder in (run, run / _RECORD):
        if (folder / records.FILE).is_file():
            return [Kept(folder, records.read(folder))], []
    every = [Kept(path.parent, records.read(path.parent)) for path in sorted(run.rglob(records.FILE))]
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


def _place(new: list[Kept], targets: list[Path], root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".adding.") as stage:
        made = [Path(stage, str(i)) for i in range(len(new))]
        for kept, folder in zip(new, made, strict=True):
            kept.record.write(folder)
        to_move = [(folder, target) for folder, target in zip(made, targets, strict=True) if _is_new(folder, target)]
        for folder, target in to_move:
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(target)


def _is_new(record: Path, target: Path) -> bool:
    if not target.exists():
        return True
    for name in records.FILES:
        if not (target / name).is_file() or (record / name).read_bytes() != (target / name).read_bytes():
            raise RecordError(
                "the leaderboard holds another record of this run", where=target / name, hint="remove that folder first"
            )
    return False
