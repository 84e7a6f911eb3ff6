"""Reader and writer of untrusted CSV files: bounded size, plain cells, canonical bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aubench.core.errors import RecordError

COUNT = r"0|[1-9][0-9]{0,11}"
"""Pattern of a count: decimal, no sign, no leading zero, at most twelve digits."""
CRLF = "has CRLF line ends, expected LF; check it out again after `git config core.autocrlf false`"
"""Description of a file with the line ends of Windows."""
_NARROW = 16
"""Number of columns up to which a table is built column by column."""
_BOM = b"\xef\xbb\xbf"


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes with LF line ends.

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


def read_table(
    path: Path,
    patterns: Mapping[str, str],
    numbers: Sequence[str],
    key: Sequence[str],
    *,
    rows: int,
    limit: int,
    fractions: Sequence[str] = (),
) -> pd.DataFrame:
    """Read a CSV file in canonical form: plain cells, no quotes, sorted rows.

    Args:
        path: CSV file.
        patterns: Columns in order, with the regular expression that cells must match in full.
        numbers: Columns that become int64; the others are text.
        key: Columns that identify a row and sort the table.
        rows: Largest number of rows.
        limit: Largest number of bytes.
        fractions: Columns that become float64, NaN where a cell is empty.

    Raises:
        RecordError: The file is not in the form of :func:`table_text`. The error names file, line and column.
    """
    content = read_bounded(path, limit)
    if content.count(b"\n") > rows + 1:
        raise RecordError(f"has more than {rows:,} rows", where=path)
    lines = content.decode("ascii", "replace").split("\n")
    if lines[0] != ",".join(patterns):
        raise RecordError(f"its first line does not name the columns {_abbreviate(list(patterns))}", where=path)
    if lines.pop() != "":
        raise RecordError("its last line is truncated", where=path)
    line_pattern = re.compile(",".join(f"(?:{pattern})" for pattern in patterns.values()))
    for number, line in enumerate(lines[1:], 2):
        if not line_pattern.fullmatch(line):
            raise RecordError(_describe_mismatch(line, patterns), where=f"{path}:{number}")
    table = _parse(lines[1:], list(patterns), numbers, fractions)
    keys = zip(*(table[name].tolist() for name in key), strict=True)
    if any(first >= second for first, second in pairwise(keys)):
        sort_table(table, key, where=path)
        raise RecordError(f"its rows are not in the order of {', '.join(key)}", where=path)
    return table


def _parse(lines: Sequence[str], columns: list[str], numbers: Sequence[str], fractions: Sequence[str]) -> pd.DataFrame:
    """Convert valid lines. The columns after the last one that is no integer are parsed together."""
    head = 1 + max(i for i, name in enumerate(columns) if name not in numbers)
    rows = [line.split(",", head) for line in lines]
    cells = np.fromstring(",".join(cell for row in rows for cell in row[head:]), np.int64, sep=",")
    cells = cells.reshape(len(rows), len(columns) - head)
    first = {
        name: _convert([row[i] for row in rows], name in numbers, name in fractions)
        for i, name in enumerate(columns[:head])
    }
    if len(columns) - head > _NARROW:  # a table of one block is much faster than one of many columns
        table = pd.DataFrame(cells, columns=columns[head:])
        for i, (name, column) in enumerate(first.items()):
            table.insert(i, name, column)
        return table
    return pd.DataFrame(first | dict(zip(columns[head:], cells.T, strict=True)), columns=columns)


def _convert(values: Sequence[str], is_integer: bool, is_fraction: bool) -> Any:
    if is_integer:
        return np.array(list(map(int, values)), np.int64)
    if is_fraction:
        return np.array([float(value or "nan") for value in values])
    return pd.array(np.array(values, object), dtype="str")


def sort_table(table: pd.DataFrame, key: Sequence[str], *, where: object) -> pd.DataFrame:
    """Sort a table by ``key``, which must be unique.

    Raises:
        RecordError: Two rows have the same key.
    """
    duplicated = table.duplicated(list(key))
    if duplicated.any():
        row = table.loc[duplicated, list(key)].iloc[0]
        raise RecordError(f"two rows for {', '.join(f'{name} {row[name]}' for name in key)}", where=where)
    return table.sort_values(list(key), ignore_index=True)


def table_text(table: pd.DataFrame) -> str:
    """Format a table as CSV: comma, line feed, no quotes, no index."""
    return table.to_csv(index=False, lineterminator="\n")


def _describe_mismatch(line: str, patterns: Mapping[str, str]) -> str:
    cells = line.split(",")
    if len(cells) != len(patterns):
        return f"{len(cells)} cells, expected {len(patterns)}"
    name, cell = next((n, c) for (n, p), c in zip(patterns.items(), cells, strict=True) if not re.fullmatch(p, c))
    return f"column {name}: '{cell[:40]}' is not a valid value"


def _abbreviate(names: list[str]) -> str:
    return ", ".join(names if len(names) < 12 else [*names[:6], "…", names[-1]])
