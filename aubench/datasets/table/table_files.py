"""Tables of text cells from CSV, JSON Lines and Parquet files."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from aubench.core.errors import DataError
from aubench.datasets.label_text import read_lines, shorten

_LARGEST, _MOST_COLUMNS = 1 << 30, 10_000
_FORMATS = "write it as .csv, .tsv, .jsonl or .parquet"
_DELIMITERS = ",;\t"
_CONSTANTS = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}  # of JSON as Python writes it


class TableFile(NamedTuple):
    """Cells of a table without surrounding spaces; an empty cell is empty text."""

    path: Path
    columns: list[str]
    rows: list[tuple[int, list[str]]]  # line number, and one cell for each column

    def name(self, column: int) -> str:
        """Return the name of a column as text for errors."""
        return shorten(self.columns[column])

    def where(self, line: int) -> str:
        """Return file and line as text for errors."""
        return f"{self.path} line {line}"


def read_table(path: Path) -> TableFile:
    """Read a table.

    Raises:
        DataError: The file cannot be read, has an unknown format, no rows, or a row that does not fit its header.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"has the unknown extension '{path.suffix}'", where=path, hint=_FORMATS)
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise DataError("is too large for a table", where=path, hint="divide it into label files of videos")
    table = reader(path)
    if not table.rows:
        raise DataError("has no rows", where=path, hint="write one row for each frame")
    return table


def _read_csv(path: Path) -> TableFile:
    lines = read_lines(path, _LARGEST, has_names=True)
    delimiter = max(_DELIMITERS, key=next(filter(str.strip, lines), "").count)
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, skipinitialspace=True, strict=True)
    columns: list[str] = []
    rows = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) and columns:
                rows.append((reader.line_num, cells))
            elif any(cells):
                columns = cells
    except csv.Error as error:
        raise DataError(
            f"is not CSV ({error})", where=f"{path} line {reader.line_num}", hint="correct the line"
        ) from None
    if all(len(cells) == len(columns) + 1 and not cells[-1] for _, cells in rows):  # the delimiter ends every line
        rows = [(line, cells[:-1]) for line, cells in rows]
    for line, cells in rows:
        if len(cells) != len(columns):
            what = f"has {len(cells)} cells, and the header has {len(columns)}"
            raise DataError(what, where=f"{path} line {line}", hint="correct the line, and quote cells with delimiters")
    return TableFile(path, columns, rows)


def _read_json_lines(path: Path) -> TableFile:
    records = []
    for line, text in enumerate(read_lines(path, _LARGEST, has_names=True), 1):
        if not text.strip():
            continue
        try:
            record = json.loads(text, object_pairs_hook=_unique, parse_constant=_CONSTANTS.get)
        except (ValueError, RecursionError) as error:
            raise DataError(f"is not JSON ({error})", where=f"{path} line {line}", hint=_FORMATS) from None
        if not isinstance(record, dict):
            raise DataError("is not a JSON object", where=f"{path} line {line}", hint='write {"subject": …}')
        records.append((line, record))
    columns = list(dict.fromkeys(key for _, record in records for key in record))
    if len(columns) > _MOST_COLUMNS:
        hint = "write the same keys in each line"
        raise DataError(f"has {len(columns)} columns", where=path, hint=hint)
    rows = [(line, [_cell(record.get(key)) for key in columns]) for line, record in records]
    return TableFile(path, [column.strip() for column in columns], rows)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key occurs twice")
    return record


def _read_parquet(path: Path) -> TableFile:
    try:
        names, cells = _parquet_cells(path.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot be read ({reason})", where=path, hint="write the file again") from None
    except ImportError:  # pyarrow is missing
        raise
    except Exception as error:  # pyarrow raises many types for a damaged file
        raise DataError(f"is not Parquet ({type(error).__name__})", where=path, hint="write the file again") from None
    rows = [(row, list(values)) for row, values in enumerate(zip(*cells, strict=True), 1)]
    return TableFile(path, [name.strip() for name in names], rows)


def _parquet_cells(content: bytes) -> tuple[list[str], list[list[str]]]:
    """Return the names and the cells of all columns, those of the index first unless they are columns too."""
    import pandas as pd

    frame = pd.read_parquet(io.BytesIO(content))  # pyarrow opens only paths in UTF-8
    levels = [name for name in frame.index.names if name is not None and name not in frame.columns]
    frame = frame.reset_index(level=levels) if levels else frame
    columns = (frame.iloc[:, at].astype(object) for at in range(frame.shape[1]))
    cells = [list(map(_cell, column.where(column.notna(), None).tolist())) for column in columns]
    return list(map(str, frame.columns)), cells


def _cell(value: Any) -> str:
    """Return a value of a JSON object or of a Parquet file as text: ``<type>`` for types that no column may hold."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if isinstance(value, str | int | float) else f"<{type(value).__name__}>"


_READERS: dict[str, Callable[[Path], TableFile]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), _read_csv),
    **dict.fromkeys((".jsonl", ".ndjson"), _read_json_lines),
    **dict.fromkeys((".parquet", ".pq"), _read_parquet),
}
