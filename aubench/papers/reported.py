"""Numbers that papers report, read from the CSV files in the ``reported`` folder of a leaderboard, one file per table.

A file has the columns of :class:`ReportedRow`, and one column per AU of the table, named by its FACS number. A cell is
empty if the paper prints or states nothing.
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

from aubench.core import system_files
from aubench.core.errors import RecordError
from aubench.core.task import Modality
from aubench.core.value_problems import problem
from aubench.leaderboard.command_hints import check_hint
from aubench.leaderboard.records import Finding, raise_first
from aubench.results.csv_io import read_bounded
from aubench.results.field_types import Condition, Name

FOLDER = "reported"
AUS: dict[str, tuple[int, ...]] = {
    "bp4d": (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24),
    "bp4dplus": (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24),
    "disfa": (1, 2, 4, 6, 9, 12, 25, 26),
}
"""AUs that are scored on each data set of the papers."""
FOLD_COUNT, LISTED_FOLD_COUNT = 3, 4
"""Number of folds by subject, and that of the rows whose folds are ``listed``."""
COSTS = {"gflops": "flops", "gmacs": "macs"}
"""Metrics of cost per frame and the field of :class:`~aubench.results.schema.Cost` for each. Papers that print
multiply-accumulates as FLOPs have ``gmacs``."""

_BYTES, _ROWS, _CHARACTERS = 64 * 2**10, 100, 300
_IDENTITY = ("table", "dataset", "trained_on", "condition", "method", "variant", "modalities", "metric")
_AU = re.compile(r"AU([1-9][0-9]?)")


def _number(cell: Any) -> float | None:
    if isinstance(cell, str) and not re.fullmatch(r"(\d{1,3}\.\d{1,2})?", cell):
        raise ValueError("is not a number with one or two decimals")
    return float(cell) if cell else None


def _letters(cell: str) -> tuple[Modality, ...]:
    modalities = tuple(m for m in Modality if m.letter in cell)
    if "".join(m.letter for m in modalities) != cell:
        raise ValueError("does not consist of V, D and T in this order")
    return modalities


def _settings(cell: str) -> dict[str, Any]:
    if len(cell) > _CHARACTERS:  # values of JSON that are nested thousands of times cannot be parsed
        raise ValueError(f"has more than {_CHARACTERS} characters")
    pairs = [pair.partition("=") for pair in cell.split()]
    if not all(key and value for key, _, value in pairs):
        raise ValueError("does not consist of key=value")
    return {key: _parse_json(value) for key, _, value in pairs}


def _parse_json(text: str) -> Any:
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
        table: Name of the file.
        dataset: Data set of the test.
        trained_on: Data set of the training.
        condition: Test condition, named as in records.
        method: Name of the method as printed.
        variant: Further label of the row.
        method_here: Name of the implemented method; empty if there is none.
        settings: Recipe values with which the implemented method corresponds to the row.
        modalities: Modalities of the test; empty if the paper does not state them.
        modalities_here: Modalities that a run must be offered, if more.
        metric: Metric of the numbers: F1 or accuracy in %, or one of ``COSTS`` in ``mean``.
        folds: Information about the folds: ``ambiguous`` if the cited works disagree, ``listed`` if they are those of
            the protocol ``bp4dplus_fmae4``, ``unlisted`` if no list is cited, ``unknown`` if no list is in common use
            either.
        aus: Numbers by AU.
        mean: Mean as printed.
        source: Paper and table.
        implemented_by: Authors of the implementation, if the paper names them.
        remark: Remarks for readers, separated by ``; ``.
        suspect: Reasons to distrust the numbers; empty if there are none.
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
    metric: Literal["f1", "acc", "gflops", "gmacs"]
    folds: Literal["ambiguous", "listed", "unlisted", "unknown"]
    aus: Annotated[dict[int, _Number], Field(max_length=50)]
    mean: _Number
    source: _Words
    implemented_by: _MaybeWords
    remark: _MaybeWords
    suspect: _MaybeWords

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if unknown := sorted(set(self.aus) - set(AUS[self.dataset])):
            raise ValueError(f"column AU{unknown[0]}: is not an AU of {self.dataset}")
        if self.metric in COSTS and self.printed:
            raise ValueError(f"column metric: {self.metric} belong to no AU")
        columns = {**{f"AU{au}": value for au, value in self.printed.items()}, "mean": self.mean or 0.0}
        if self.metric not in COSTS and (above := [name for name, value in columns.items() if value > 100]):
            raise ValueError(f"column {above[0]}: is above 100 %")
        if self.mean is None and not self.printed and not self.remark:
            raise ValueError("column remark: must explain why there is no number")
        return self

    @property
    def printed(self) -> dict[int, float]:
        """Numbers of the AUs that have one."""
        return {au: value for au, value in self.aus.items() if value is not None}

    @property
    def fold_count(self) -> int:
        """Number of folds by subject."""
        return LISTED_FOLD_COUNT if self.folds == "listed" else FOLD_COUNT

    @property
    def needed(self) -> tuple[Modality, ...]:
        """Modalities of a comparable run."""
        return self.modalities_here or self.modalities


@dataclass(frozen=True)
class ReportedTable:
    """One table of a paper.

    Attributes:
        name: Name of the file without suffix.
        aus: AUs of the columns, ascending.
        rows: Rows in the order of the file, at least one.
    """

    name: str
    aus: tuple[int, ...]
    rows: tuple[ReportedRow, ...]


def read_all(root: Path) -> list[ReportedTable]:
    """Read the tables of the leaderboard in a folder, sorted by name.

    Raises:
        RecordError: A file is invalid; the message names file, row and column.
    """
    tables, findings = scan(root)
    raise_first(findings, check_hint(root))
    return tables


def scan(root: Path) -> tuple[list[ReportedTable], list[Finding]]:
    """Read the valid tables of a leaderboard, sorted by name, and the problems of all files."""
    tables: list[ReportedTable] = []
    findings: list[Finding] = []
    for path in system_files.children(root / FOLDER):
        if path.suffix != ".csv":
            findings.append(Finding(path, "is not a table; tables are .csv files"))
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
        return None, [Finding(path, f"is not a CSV file in ASCII ({error})")]
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
    """Return the AUs of the header, and check the other columns."""
    if not 2 <= len(lines) <= _ROWS + 1:
        raise ValueError(f"has {max(len(lines) - 1, 0)} rows, expected 1 to {_ROWS}")
    aus = tuple(int(match[1]) for match in map(_AU.fullmatch, lines[0]) if match)
    fields = list(ReportedRow.model_fields)
    index = fields.index("aus")
    columns = [*fields[:index], *(f"AU{au}" for au in sorted(set(aus))), *fields[index + 1 :]]
    for name, expected in zip_longest(lines[0], columns):
        if name != expected:
            raise ValueError(f"row 1, column {name or 'missing'}: expected {expected or 'no column'}")
    return aus


def _row(names: list[str], cells: list[str]) -> tuple[ReportedRow | None, list[str]]:
    if len(cells) != len(names):
        return None, [f"column {names[min(len(cells), len(names) - 1)]}: {len(cells)} cells, expected {len(names)}"]
    named = dict(zip(names, cells, strict=True))
    fields: dict[str, Any] = {name: cell for name, cell in named.items() if not _AU.fullmatch(name)}
    fields["aus"] = {int(match[1]): named[match[0]] for match in map(_AU.fullmatch, names) if match}
    try:
        return ReportedRow.model_validate(fields), []
    except ValidationError as error:
        return None, [_message(detail) for detail in error.errors()]


def _message(error: Any) -> str:
    """Return a pydantic error as ``column …: …``."""
    message = problem(error)
    if not error["loc"]:
        return message
    column = f"AU{error['loc'][1]}" if error["loc"][0] == "aus" else error["loc"][0]
    return f"column {column}: '{str(error['input'])[:40]}' {message}"
