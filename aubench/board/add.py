"""Taking a finished run's record into a leaderboard."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from aubench import registry
from aubench.board import ledger, verify
from aubench.board.ledger import RECORDS, Kept
from aubench.board.verify import Known
from aubench.errors import DataError, RecordError
from aubench.scores import record as records


def add(run: Path, root: Path, known: Known = registry.find_protocol) -> Path:
    """Check a run's record and copy it into the leaderboard; all of it or nothing.

    Args:
        run: The run's folder, or its ``record`` folder.
        root: The leaderboard's folder; made where it is missing.
        known: Finds the installed protocol of a name.

    Returns:
        Where the record lies now. A record that lies there already is left as it is.

    Raises:
        DataError: There is no record in the run.
        RecordError: The record does not hold what it claims, or the leaderboard holds another one of the same run.
    """
    source = run if (run / records.FILE).is_file() else run / "record"
    if not (source / records.FILE).is_file():
        raise DataError("no record here", where=run, hint="give the folder of a finished run")
    new = Kept(source, records.read(source))
    there, _ = ledger.scan(root)
    target = root / RECORDS / new.record.place
    others = [kept for kept in there if kept.folder != target]
    if findings := [*verify.within(new), *verify.against_protocol(new, known), *verify.beside([*others, new])]:
        raise RecordError(findings[0].what, where=findings[0].path)
    _place(new, target)
    return target


def _place(new: Kept, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        new.record.write(made)
        made.chmod(0o755)
        if target.exists():
            _require_same(made, target)
        else:
            made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _require_same(new: Path, old: Path) -> None:
    for name in records.FILES:
        if not (old / name).is_file() or (new / name).read_bytes() != (old / name).read_bytes():
            raise RecordError(
                "the leaderboard holds another record of this run", where=old / name, hint="remove that folder first"
            )
