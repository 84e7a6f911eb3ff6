"""Repetitions of a leaderboard's runs by others, with their complete records.

A repetition is a folder ``reproductions/<protocol>/<method>/<run>/<name>/`` with the files of a record and
``reproduction.json``, which names who repeated the run. The result is computed from the counts of both records.
Repetitions have no influence on ranks.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from aubench._util import atomic, locks
from aubench.core import system_files
from aubench.core.errors import AubenchError, RecordError, UsageError
from aubench.leaderboard.records import LOCK, RECORDS, REPRODUCTIONS, STAGING, Finding, StoredRecord, raise_first
from aubench.results import csv_io
from aubench.results import record as record_file
from aubench.results.field_types import StrictModel

if TYPE_CHECKING:
    from aubench.leaderboard.entries import RankedTable
    from aubench.leaderboard.render import Block, Cell
    from aubench.leaderboard.rerun_comparison import Reproduction

FILE = "reproduction.json"
_LEVELS = 4
_LIMIT = 4096
_LONGEST_NAME = 60


class ReproductionInfo(StrictModel):
    """Content of ``reproduction.json``.

    Attributes:
        schema_version: Version of the format.
        by: Name of the person or group.
    """

    schema_version: Literal[1] = 1
    by: str = Field(min_length=2, max_length=_LONGEST_NAME)


@dataclass(frozen=True)
class StoredReproduction:
    """Repetition in a leaderboard.

    Attributes:
        folder: Its folder.
        by: Name of the person or group.
        result: Comparison with the record.
    """

    folder: Path
    by: str
    result: Reproduction


class Reproductions:
    """Extension of a leaderboard's pages by the repetitions of their runs, the files in ``reproductions``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stored, self.findings = read_reproductions(root)

    def pages(self) -> dict[str, list[Block]]:
        """Return no further pages."""
        return {}

    def index_blocks(self) -> list[Block]:
        """Return no blocks of the index page."""
        return []

    def protocol_blocks(self, dataset: str, fold_count: int, tables: Sequence[RankedTable]) -> list[Block]:
        """Build the section of the repetitions of the runs in some tables; none without any."""
        runs = {run.folder.resolve() for table in tables for entry in table.methods for run in entry.runs}
        stored = [item for item in self._stored if item.result.run.folder.resolve() in runs]
        if not stored:
            return []
        from aubench.leaderboard.render import Table, template

        headers = ("Method", "Seed", "Run", "Repeated by", "Result", "F1", "F1 again", "Device")
        align = ("left", "right", "left", "left", "left", "right", "right", "left")
        texts = template("protocol")
        return [texts["reproductions"], Table(headers, align, tuple(map(self._row, stored)))]

    def _row(self, stored: StoredReproduction) -> tuple[Cell, ...]:
        from aubench.leaderboard.render import EMPTY, Cell
        from aubench.leaderboard.tables import percent

        run, again = stored.result.run, stored.result.again
        address = (stored.folder.relative_to(self._root) / record_file.FILE).as_posix()
        device = again.info.device
        return (
            Cell(run.info.method.name),
            Cell(str(run.info.seed)),
            Cell("", links=((run.info.run, address),)),
            Cell(stored.by),
            Cell(stored.result.outcome),
            Cell(percent(run.summary.f1_mean)),
            Cell(percent(again.summary.f1_mean)),
            Cell(f"{device.label}, {device.precision}" if device else EMPTY),
        )


def read_reproductions(root: Path) -> tuple[list[StoredReproduction], list[Finding]]:
    """Read, verify and compare all repetitions of the leaderboard in a folder.

    Returns:
        Repetitions without problems, sorted by path, and findings.
    """
    stored: list[StoredReproduction] = []
    findings: list[Finding] = []
    for folder in _folders(root / REPRODUCTIONS, _LEVELS, findings):
        try:
            others = [item.result.again for item in stored if item.folder.parent == folder.parent]
            stored.append(_read(root, folder, others))
        except AubenchError as error:
            findings.append(Finding(Path(str(error.where or folder)), error.what))
    return stored, findings


def new_folder(run: StoredRecord, by: str) -> Path:
    """Return the folder of a new repetition of a run.

    Args:
        run: Record in a leaderboard.
        by: Name of the person or group.

    Raises:
        UsageError: The name is not plain text, there is a repetition of that name, or the repetition would have the id
            of another run.
    """
    _check_name(by, "--by")
    if run.info.search.tuned:
        what = "is of a tuned recipe, whose id includes the search, so a repetition has another id and cannot be stored"
        raise UsageError(what, where=run.folder, hint="omit --by")
    folder = run.folder.parents[3].joinpath(REPRODUCTIONS, *run.folder.parts[-3:], folder_name(by))
    if folder.exists():
        raise UsageError("has repeated this run already", where=folder, hint="choose another name with --by")
    return folder


def add_reproduction(result: Reproduction, by: str) -> Path:
    """Store the repetition of a run in the leaderboard of its record.

    Args:
        result: Comparison with the record.
        by: Name of the person or group.

    Returns:
        The new folder.

    Raises:
        UsageError: As of :func:`new_folder`.
        RecordError: The record of the repetition is wrong.
    """
    root = result.run.folder.parents[3]
    with locks.exclusive(root / LOCK), tempfile.TemporaryDirectory(dir=root, prefix=STAGING) as staging:
        target = new_folder(result.run, by)
        folder = Path(staging, "record")
        result.again.record.write(folder)
        atomic.write_json(folder / FILE, ReproductionInfo(by=by).model_dump(mode="json"))
        others = [
            StoredRecord(path, record_file.read(path)) for path in system_files.children(target.parent) if path.is_dir()
        ]
        _verify(StoredRecord(folder, record_file.read(folder)), result.run, others)
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
    return target


def folder_name(by: str) -> str:
    """Return the name of a person or group as the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", by.casefold()).strip("-")


def _folders(folder: Path, levels: int, findings: list[Finding]) -> Iterator[Path]:
    for path in system_files.children(folder):
        if not path.is_dir():
            findings.append(Finding(path, f"does not belong here; the path is {_PATH}"))
        elif levels > 1:
            yield from _folders(path, levels - 1, findings)
        else:
            names = {FILE, *record_file.ALL_FILES}
            odd = [file for file in system_files.children(path) if file.name not in names]
            findings += [Finding(file, "is no file of a repetition") for file in odd]
            yield path


_PATH = "<protocol>/<method>/<run>/<name>/"


def _read(root: Path, folder: Path, others_of_run: Sequence[StoredRecord]) -> StoredReproduction:
    from aubench.leaderboard import verify
    from aubench.leaderboard.rerun import why_not_repeatable
    from aubench.leaderboard.rerun_comparison import compare, row_of

    info = _read_info(folder / FILE)
    if folder.name != folder_name(info.by):
        raise RecordError(f"path disagrees with its {FILE}, whose folder is {folder_name(info.by)}", where=folder)
    original = root.joinpath(RECORDS, *folder.parts[-4:-1])
    if not original.is_dir():
        raise RecordError("repeats no run of this leaderboard", where=folder)
    run, again = (StoredRecord(path, record_file.read(path)) for path in (original, folder))
    if reason := why_not_repeatable(run):
        raise RecordError(f"repeats a run that {reason}", where=folder)
    row = row_of(run)
    others = [other for other in row if other.folder != run.folder]
    for finding in chain.from_iterable(map(verify.check_record, (run, *others))):
        raise RecordError(f"repeats a row whose record is invalid: {finding.what}", where=folder)
    _verify(again, run, others_of_run)
    return StoredReproduction(folder, info.by, compare(run, again, row))


def _read_info(path: Path) -> ReproductionInfo:
    content = csv_io.read_bounded(path, _LIMIT)
    try:
        info = ReproductionInfo.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecordError(f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}", where=path) from None
    _check_name(info.by, str(path))
    if content != atomic.json_text(info.model_dump(mode="json")).encode():
        raise RecordError("its bytes are not those that aubench writes", where=path)
    return info


def _check_name(by: str, where: str) -> None:
    from aubench.leaderboard.text_checks import folder_problem, text_problem

    problem = text_problem(by) or folder_problem(folder_name(by))
    if problem is None and not (2 <= len(by) <= _LONGEST_NAME and folder_name(by)):
        problem = f"must have 2 to {_LONGEST_NAME} characters, with a letter from a to z or a digit"
    if problem:
        raise UsageError(f"'{by}': {problem}", where=where, hint="give a plain name")


def _verify(again: StoredRecord, run: StoredRecord, others: Sequence[StoredRecord]) -> None:
    """Check that a record is sound, complete, of the run that it repeats, and no copy of it or of other repetitions.

    Raises:
        RecordError: It is not.
    """
    from aubench.core import registry
    from aubench.leaderboard import verify

    findings = verify.check_record(again)
    findings += verify.check_protocol(again, registry.find_protocol, is_sound=not findings)
    problems = {
        f"run: is {again.info.run}, the run that it repeats is {run.info.run}": again.info.run != run.info.run,
        f"folds: has {len(again.info.folds)} of {again.info.protocol.fold_count} folds": not again.is_complete,
        "time: is that of the run itself, so this is a copy of its record": _same_time(again, run),
        **{
            f"time: is that of {other.folder}, so one of the two is a copy": _same_time(again, other)
            for other in others
        },
        "git: the code is not that of the commit of the run": any(
            (environment.git.commit, environment.git.dirty) != (run.info.git.commit, False)
            for environment in again.info.environments
        ),
    }
    findings += [again.finding(record_file.FILE, what) for what, is_true in problems.items() if is_true]
    raise_first(findings)


def _same_time(a: StoredRecord, b: StoredRecord) -> bool:
    """Return whether two records have one start, or times and speeds that no two runs share."""
    if a.info.time is None or b.info.time is None:
        return False
    is_equally_fast = (a.info.time.seconds, a.info.speed) == (b.info.time.seconds, b.info.speed)
    return is_equally_fast or a.info.time.started == b.info.time.started
