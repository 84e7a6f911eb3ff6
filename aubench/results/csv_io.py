"""Reader and writer of untrusted CSV files: bounded size, plain cells, canonical bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from aubench.core.errors import RecordError

COUNT = r"0|[1-9][0-9]{0,11}"
"""Pattern of a count: decimal, no sign, no leading zero, at most twelve digits."""
CRLF = "has CRLF line ends, expected LF; check it out again after `git config core.autocrlf false`"
"""Description of a file with the line ends of Windows."""
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
    path: Path, patterns: Mapping[str, str], numbers: Sequence[str], key: Sequence[str], *, rows: int, limit: int
) -> pd.DataFrame:
    """Read a CSV file in canonical form: plain cells, no quotes, sorted rows.

    Args:
        path: CSV file.
        patterns: Columns in order, with the regular expression that cells must match in full.
        numbers: Columns that become int64; the others are text.
        key: Columns that identify a row and sort the table.
        rows: Largest number of rows.
        limit: Largest number of bytes.

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
    table = _parse(lines[1:], list(patterns), numbers)
    keys = zip(*(table[name].tolist() for name in key), strict=True)
    if any(first >= second for first, second in pairwise(keys)):
        sort_table(table, key, where=path)
        raise RecordError(f"its rows are not in the order of {', '.join(key)}", where=path)
    return table


def _parse(lines: Sequence[str], columns: list[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Convert valid lines. The columns after the last text column are parsed together."""
    head = 1 + max(i for i, name in enumerate(columns) if name not in numbers)
    rows = [line.split(",", head) for line in lines]
    cells = np.fromstring(",".join(cell for row in rows for cell in row[head:]), np.int64, sep=",")
    table = pd.DataFrame(cells.reshape(len(rows), len(columns) - head), columns=columns[head:])
    for i, name in enumerate(columns[:head]):
        values = pd.Series([row[i] for row in rows], dtype="str")
        table.insert(i, name, values.astype("int64") if name in numbers else values)
    return table


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
