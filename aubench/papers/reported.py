"""What papers report: their tables as files in a leaderboard's ``reported`` folder, one file a table.

A file has the columns of :class:`ReportedRow` around one column for each AU that the table prints, under the AU's FACS
number. A cell is empty where nothing is printed or stated.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from aubench.core.errors import RecordError
from aubench.core.task import Modality
from aubench.leaderboard.records import Finding
from aubench.results.csv_io import read_bounded
from aubench.results.schema import Condition, Name

FOLDER = "reported"
AUS: dict[str, tuple[int, ...]] = {
    "bp4d": (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24),
    "bp4dplus": (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24),
    "disfa": (1, 2, 4, 6, 9, 12, 25, 26),
}
"""The data sets that papers report on, and the AUs that are scored on each."""
FOLD_COUNT = 3
"""Folds that every table here has, by subject."""

_BYTES, _ROWS = 64 * 2**10, 100
_IDENTITY = ("table", "dataset", "trained_on", "condition", "method", "variant", "modalities", "metric")
_AU = re.compile(r"AU([1-9][0-9]?)")


def _number(cell: Any) -> float | None:
    if isinstance(cell, str) and not re.fullmatch(r"(\d{1,3}\.\d{1,2})?", cell):
        raise ValueError("is no number as papers print it")
    return float(cell) if cell else None


def _letters(cell: str) -> tuple[Modality, ...]:
    found = tuple(m for m in Modality if m.letter in cell)
    if "".join(m.letter for m in found) != cell:
        raise ValueError("is not made of V, D and T in this order")
    return found


def _settings(cell: str) -> dict[str, Any]:
    pairs = [pair.partition("=") for pair in cell.split()]
    if not all(key and value for key, _, value in pairs):
        raise ValueError("is not made of key=value")
    return {key: _plain(value) for key, _, value in pairs}


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


_Data = Literal["bp4d", "bp4dplus", "disfa"]
_Words = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,300}$")]
_MaybeWords = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{0,300}$")]
_Number = Annotated[float | None, BeforeValidator(_number)]
_Letters = Annotated[tuple[Modality, ...], BeforeValidator(_letters)]


class ReportedRow(BaseModel):
    """One row of a paper's table; percentages as printed.

    Attributes:
        table: The file's name.
        dataset: The data set that is tested.
        trained_on: The data set that was trained on.
        condition: What was done to the test inputs, named as in records; ``clean`` for nothing.
        method: As printed.
        variant: What else the table says of the row.
        method_here: The method of aubench that it is about; empty if there is none.
        settings: Recipe values that make the method here this row, where the defaults do not.
        modalities: What the row is said to be tested on; empty where unstated.
        modalities_here: What a run here must be offered for it, where that is more.
        metric: What the numbers are: F1 or accuracy in %, or GFLOPs in ``mean``.
        folds: What is known of the folds: ``ambiguous``, the works that are followed disagree; ``unlisted``, no list is
            cited; ``unknown``, none is in common use either.
        aus: Numbers by AU.
        mean: The mean as printed.
        source: Paper and table.
        implemented_by: Whose implementation it is, if the paper says so.
        remark: What a reader should know.
        suspect: Why the numbers cannot be trusted; empty if nothing speaks against them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    table: Name
    dataset: _Data
    trained_on: _Data
    condition: Condition
    method: _Words
    variant: _MaybeWords
    method_here: Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9_]{0,63})?$")]
    settings: Annotated[dict[str, Any], BeforeValidator(_settings)]
    modalities: _Letters
    modalities_here: _Letters
    metric: Literal["f1", "acc", "gflops"]
    folds: Literal["ambiguous", "unlisted", "unknown"]
    aus: Annotated[dict[int, _Number], Field(max_length=50)]
    mean: _Number
    source: _Words
    implemented_by: _MaybeWords
    remark: _MaybeWords
    suspect: _MaybeWords

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if strange := sorted(set(self.aus) - set(AUS[self.dataset])):
            raise ValueError(f"column AU{strange[0]}: is no AU of {self.dataset}")
        if self.metric == "gflops" and self.printed:
            raise ValueError("column metric: gflops belong to no AU")
        if self.metric != "gflops" and max([*self.printed.values(), self.mean or 0.0]) > 100:
            raise ValueError("column mean: is above 100 %")
        if self.mean is None and not self.printed and not self.remark:
            raise ValueError("column remark: must say why there is no number")
        return self

    @property
    def printed(self) -> dict[int, float]:
        """The numbers of those AUs that have one."""
        return {au: value for au, value in self.aus.items() if value is not None}

    @property
    def needed(self) -> tuple[Modality, ...]:
        """The modalities of a run here that can be compared with it."""
        return self.modalities_here or self.modalities


@dataclass(frozen=True)
class ReportedTable:
    """One table of a paper.

    Attributes:
        name: The file's name without its ending.
        aus: AUs of its columns, ascending.
        rows: Its rows, at least one, as in the file.
    """

    name: str
    aus: tuple[int, ...]
    rows: tuple[ReportedRow, ...]


def read_all(root: Path) -> list[ReportedTable]:
    """Every table of a leaderboard, by name.

    Args:
        root: The leaderboard's folder.

    Raises:
        RecordError: A file is not as it should be; file, row and column are named.
    """
    tables, findings = scan(root)
    if findings:
        raise RecordError(findings[0].what, where=findings[0].path, hint="`aubench leaderboard check` lists everything")
    return tables


def scan(root: Path) -> tuple[list[ReportedTable], list[Finding]]:
    """Every table that can be read, by name, and everything that is wrong with the files."""
    tables: list[ReportedTable] = []
    findings: list[Finding] = []
    for path in sorted((root / FOLDER).glob("*")):
        if path.name == ".gitkeep":
            continue
        if path.suffix != ".csv":
            findings.append(Finding(path, "does not belong here; a table is a .csv"))
            continue
        table, wrong = _read(path)
        tables += [] if table is None else [table]
        findings += wrong
    return tables, findings


def _read(path: Path) -> tuple[ReportedTable | None, list[Finding]]:
    try:
        text = read_bounded(path, _BYTES).decode("ascii")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        aus = _columns(lines)
    except RecordError as error:
        return None, [Finding(path, error.what)]
    except (UnicodeDecodeError, csv.Error) as error:
        return None, [Finding(path, f"is no CSV in ASCII ({error})")]
    except ValueError as error:
        return None, [Finding(path, str(error))]
    rows: dict[tuple[str, ...], ReportedRow] = {}
    findings = []
    for number, cells in enumerate(lines[1:], 2):
        row, wrong = _row(lines[0], cells)
        if row is not None and row.table != path.stem:
            wrong.append(f"column table: is not '{path.stem}'")
        key = tuple(cells[lines[0].index(name)] for name in _IDENTITY) if row else ()
        if key in rows:
            wrong.append(f"is a second row for the same {', '.join(_IDENTITY[1:])}")
        findings += [Finding(path, f"row {number}, {what}") for what in wrong]
        if row is not None:
            rows[key] = row
    return (None if findings else ReportedTable(path.stem, aus, tuple(rows.values()))), findings


def _columns(lines: list[list[str]]) -> tuple[int, ...]:
    """The AUs that the first line names, between the other columns in their order."""
    if not 2 <= len(lines) <= _ROWS + 1:
        raise ValueError(f"has {max(len(lines) - 1, 0)} rows where 1 to {_ROWS} belong")
    aus = tuple(int(found[1]) for found in map(_AU.fullmatch, lines[0]) if found)
    fields = list(ReportedRow.model_fields)
    at = fields.index("aus")
    wanted = [*fields[:at], *(f"AU{au}" for au in sorted(set(aus))), *fields[at + 1 :]]
    for name, belongs in zip_longest(lines[0], wanted):
        if name != belongs:
            raise ValueError(f"row 1, column {name or 'missing'}: stands where {belongs or 'nothing'} belongs")
    return aus


def _row(names: list[str], cells: list[str]) -> tuple[ReportedRow | None, list[str]]:
    if len(cells) != len(names):
        return None, [f"column {names[min(len(cells), len(names) - 1)]}: {len(cells)} cells where {len(names)} belong"]
    named = dict(zip(names, cells, strict=True))
    fields: dict[str, Any] = {name: cell for name, cell in named.items() if not _AU.fullmatch(name)}
    fields["aus"] = {int(found[1]): named[found[0]] for found in map(_AU.fullmatch, names) if found}
    try:
        return ReportedRow.model_validate(fields), []
    except ValidationError as error:
        return None, [_told(one) for one in error.errors()]


def _told(error: Any) -> str:
    """A pydantic error as ``column …: what``."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    column = f"AU{error['loc'][1]}" if error["loc"][0] == "aus" else error["loc"][0]
    return f"column {column}: '{str(error['input'])[:40]}' {message[0].lower()}{message[1:]}"
