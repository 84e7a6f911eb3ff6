"""Reader and writer of untrusted CSV files: bounded size, plain cells, canonical bytes."""

from __future__ import annotations

import hashlib
import itertools
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench.core.errors import RecordError

COUNT = r"0|[1-9][0-9]{0,11}"
"""Pattern of a count: decimal, no sign, no leading zero, at most twelve digits."""
_COUNT_END = 10**12
LARGEST = 16 * 2**20
"""Bytes of the largest table of a record."""
_COMMAS = operator.methodcaller("count", ",")
CRLF = "has CRLF line endings, expected LF; check it out again after `git config core.autocrlf false`"
"""Description of a file with the line endings of Windows."""
_NARROW = 16
"""Number of columns up to which a table is built column by column."""
_BOM = b"\xef\xbb\xbf"


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes with LF line endings.

    Raises:
        RecordError: The file is missing, a link, not a regular file, larger, or saved in the manner of Windows.
    """
    if path.is_symlink() or not path.is_file():
        raise RecordError("is missing or not a plain file", where=path)
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise RecordError(f"is larger than {limit:,} bytes", where=path)
    if b"\r\n" in content:
        line = content.partition(b"\r\n")[0].count(b"\n") + 1
        raise RecordError(CRLF, where=f"{path}:{line}")
    if content.startswith(_BOM):
        raise RecordError("begins with a byte order mark; save it as UTF-8 without one", where=path)
    return content


@dataclass(frozen=True)
class CsvTable:
    """Content of a CSV file in canonical form.

    Attributes:
        columns: First columns by name: lists of text, int64 arrays, or float64 arrays with NaN where a cell is empty.
        names: Names of the remaining columns, which are integers.
        cells: Their values, int64 (rows, ``names``).
        digest: SHA-256 of the file.
    """

    columns: Mapping[str, Any]
    names: Sequence[str]
    cells: npt.NDArray[np.int64]
    digest: str = ""

    @staticmethod
    def from_dataframe(table: pd.DataFrame, count: int) -> CsvTable:
        """Convert a table whose columns after the first ``count`` are integers."""
        first = {str(name): table[name].to_numpy() for name in table.columns[:count]}
        columns = {name: values.tolist() if values.dtype == object else values for name, values in first.items()}
        return CsvTable(columns, list(table.columns[count:]), table.iloc[:, count:].to_numpy(np.int64))

    def column(self, name: str) -> list[Any]:
        """Return the values of a column."""
        if name in self.columns:
            values = self.columns[name]
            return values if isinstance(values, list) else list(values.tolist())
        return list(self.cells[:, self.names.index(name)].tolist())

    def rows(self, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return the values of some columns, row by row."""
        return list(zip(*map(self.column, names), strict=True))

    def to_dataframe(self) -> pd.DataFrame:
        """Return the table with int64, float64 and str columns."""
        first: dict[str, Any] = {
            name: pd.array(np.array(values, object), dtype="str") if isinstance(values, list) else values
            for name, values in self.columns.items()
        }
        if len(self.names) > _NARROW:  # a table of one block is much faster than one of many columns
            table = pd.DataFrame(self.cells, columns=list(self.names))
            for i, (name, column) in enumerate(first.items()):
                table.insert(i, name, column)
            return table
        return pd.DataFrame(first | dict(zip(self.names, self.cells.T, strict=True)))


def read_table(
    path: Path,
    patterns: Mapping[str, str],
    numbers: Sequence[str],
    key: Sequence[str],
    *,
    rows: int,
    fractions: Sequence[str] = (),
) -> CsvTable:
    """Read a CSV file in canonical form: plain cells, no quotes, sorted rows, at most 16 MiB.

    Args:
        path: CSV file.
        patterns: Columns in order, with the regular expression that cells must match in full.
        numbers: Columns of integers; the others are text.
        key: Columns that identify a row and sort the table.
        rows: Largest number of rows.
        fractions: Columns of numbers that may be empty.

    Raises:
        RecordError: The file is not in the form of :func:`table_text`. The error names file, line and column.
    """
    content = read_bounded(path, LARGEST)
    if content.count(b"\n") > rows + 1:
        raise RecordError(f"has more than {rows:,} rows", where=path)
    lines = content.decode("ascii", "replace").split("\n")
    if lines[0] != ",".join(patterns):
        raise RecordError(f"its first line does not name the columns {_abbreviate(list(patterns))}", where=path)
    if lines.pop() != "":
        raise RecordError("its last line is truncated", where=path)
    table = _parse(lines[1:], patterns, numbers, fractions)
    if table is None:
        number, problem = _mismatch(lines, patterns)
        raise RecordError(problem, where=f"{path}:{number}")
    keys = table.rows(key)
    if any(map(operator.ge, keys, keys[1:])):
        sort_order([table.column(name) for name in key], key, where=path)
        raise RecordError(f"its rows are not in the order of {', '.join(key)}", where=path)
    return replace(table, digest=hashlib.sha256(content).hexdigest())


def _parse(
    lines: Sequence[str], patterns: Mapping[str, str], numbers: Sequence[str], fractions: Sequence[str]
) -> CsvTable | None:
    """Convert lines; None if a cell does not match its pattern.

    The columns after the last one that is no integer are parsed together. Patterns are compared with distinct values.
    """
    names = list(patterns)
    head = 1 + max(i for i, name in enumerate(names) if name not in numbers)
    rows = [line.split(",", head) for line in lines]
    first = list(zip(*rows, strict=False)) or [()] * len(names)
    if any(length != min(head + 1, len(names)) for length in set(map(len, rows))):
        return None
    for name, column in zip(names[:head], first, strict=False):
        if not all(map(re.compile(patterns[name]).fullmatch, set(column))):
            return None
    cells = _integers(first[head] if head < len(names) else (), names[head:])
    if cells is None or not _match(cells, [patterns[name] for name in names[head:]]):
        return None
    columns = {
        name: _converted(column, name in numbers, name in fractions)
        for name, column in zip(names[:head], first, strict=False)
    }
    return CsvTable(columns, names[head:], cells)


def _integers(rows: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """Parse rows of decimal integers without sign and leading zero; None if a cell is anything else."""
    if any(count != len(names) - 1 for count in set(map(_COMMAS, rows))):
        return None
    text = ",".join(rows)
    if rows and not _are_plain(text):
        return None
    cells = np.fromstring(text, np.int64, sep=",") if text else np.zeros(0, np.int64)
    return cells.reshape(len(rows), len(names))


def _are_plain(text: str) -> bool:
    """Return whether all cells of a line are decimal integers without sign and leading zero."""
    symbols = np.frombuffer(f",{text},".encode(), np.uint8)
    ends = np.flatnonzero(symbols == ord(","))
    lengths, first = np.diff(ends) - 1, symbols[ends[:-1] + 1]
    digits = np.count_nonzero((symbols >= ord("0")) & (symbols <= ord("9")))
    has_leading_zero = ((first == ord("0")) & (lengths > 1)).any()
    return bool(digits + len(ends) == len(symbols) and lengths.all() and not has_leading_zero)


def _match(cells: npt.NDArray[np.int64], patterns: Sequence[str]) -> bool:
    """Return whether integers match the patterns of their columns; too large ones are the largest int64."""
    for pattern in set(patterns):
        columns = cells[:, [other == pattern for other in patterns]]
        if pattern == COUNT:
            if columns.size and columns.max() >= _COUNT_END:
                return False
        elif not all(map(re.compile(pattern).fullmatch, map(str, np.unique(columns).tolist()))):
            return False
    return True


def _converted(values: Sequence[str], is_integer: bool, is_fraction: bool) -> Any:
    if is_fraction:
        return np.array([float(value or "nan") for value in values])
    return np.array(list(map(int, values)), np.int64) if is_integer else list(values)


def sort_order(columns: Sequence[npt.ArrayLike], key: Sequence[str], *, where: object) -> npt.NDArray[np.intp]:
    """Return the order of rows that sorts a table by its key, which must be unique.

    Args:
        columns: Columns of the key.
        key: Their names.
        where: File for error messages.

    Raises:
        RecordError: Two rows have the same key.
    """
    keys = list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))
    if all(map(operator.lt, keys, keys[1:])):
        return np.arange(len(keys))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    for earlier, later in itertools.pairwise(order):
        if keys[earlier] == keys[later]:
            row = ", ".join(f"{name} {value}" for name, value in zip(key, keys[later], strict=True))
            raise RecordError(f"two rows for {row}", where=where)
    return np.array(order, np.intp)


def table_text(table: pd.DataFrame) -> str:
    """Format a table as CSV: comma, line feed, no quotes, no index."""
    return table.to_csv(index=False, lineterminator="\n")


def _mismatch(lines: Sequence[str], patterns: Mapping[str, str]) -> tuple[int, str]:
    """Return the number of the first line that does not match, and a description."""
    line_pattern = re.compile(",".join(f"(?:{pattern})" for pattern in patterns.values()))
    number, line = next((n, line) for n, line in enumerate(lines[1:], 2) if not line_pattern.fullmatch(line))
    cells = line.split(",")
    if len(cells) != len(patterns):
        return number, f"{len(cells)} cells, expected {len(patterns)}"
    name, cell = next((n, c) for (n, p), c in zip(patterns.items(), cells, strict=True) if not re.fullmatch(p, c))
    return number, f"column {name}: '{cell[:40]}' is not a valid value"


def _abbreviate(names: list[str]) -> str:
    return ", ".join(names if len(names) < 12 else [*names[:6], "…", names[-1]])
