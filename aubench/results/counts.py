"""Confusion counts per condition, fold, subject and AU.

``counts.csv`` has the columns ``condition, fold, subject, au, tp, fp, fn, tn``, sorted by the first four. Each test
subject has a row for each AU, also if all counts are 0. A prediction is positive if its probability is **greater than**
0.5. Frames with an unknown label are not counted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench._util import atomic
from aubench.core.errors import RecordError
from aubench.core.protocol_rules import QUALIFIED_SUBJECT
from aubench.results import csv_io
from aubench.results.csv_io import CsvTable

KEY = ["condition", "fold", "subject", "au"]
CELLS = ["tp", "fp", "fn", "tn"]
FILE = "counts.csv"
CLEAN = "clean"
"""Condition of unmodified inputs; every record has it."""

CONDITION = r"[a-z][a-z0-9_]{0,31}(:[a-z0-9_.+-]{1,255}){0,4}"
SMALL = r"[1-9][0-9]{0,2}"
"""Pattern of a fold or an AU: 1 to 999."""

_PATTERNS = {
    "condition": CONDITION,
    "fold": SMALL,
    "subject": QUALIFIED_SUBJECT,
    "au": SMALL,
    **dict.fromkeys(CELLS, csv_io.COUNT),
}
MOST_ROWS = 500_000
"""Most rows of the file."""


def canonical(table: pd.DataFrame) -> pd.DataFrame:
    """Convert a table of counts to its canonical form.

    Args:
        table: Columns of :data:`KEY` and :data:`CELLS`, in any order of rows and columns.

    Returns:
        int64 counts, folds and AUs, str conditions and subjects, sorted by :data:`KEY`.

    Raises:
        RecordError: A column is missing or unknown, a count is negative or fractional, or a key is not unique.
    """
    return canonical_table(table, KEY, CELLS, ("condition", "subject"), FILE)


def canonical_table(
    table: pd.DataFrame, key: list[str], cells: list[str], text: tuple[str, ...], name: str
) -> pd.DataFrame:
    """Convert any table of counts to its canonical form.

    Args:
        table: Columns ``key`` and ``cells``, in any order of rows and columns.
        key: Columns that identify a row.
        cells: Columns with counts.
        text: Columns of ``key`` with text.
        name: File name for error messages.

    Raises:
        RecordError: As :func:`canonical`.
    """
    columns = [*key, *cells]
    if set(table.columns) != set(columns):
        raise RecordError(
            f"columns {sorted(map(str, set(table.columns) ^ set(columns)))[:4]} are missing or unknown", where=name
        )
    numbers = [column for column in columns if column not in text]
    values = table[numbers].to_numpy()
    integers = values.astype(np.int64)
    if (integers != values).any() or (integers < 0).any():
        raise RecordError("a count is negative or not an integer", where=name)
    strings = {column: table[column].astype("str").to_numpy(object) for column in text}
    by_name = {**dict(zip(numbers, integers.T, strict=True)), **strings}
    order = csv_io.sort_order([by_name[column] for column in key], key, where=name)
    typed = pd.DataFrame(integers[order], columns=numbers)
    for column, texts in strings.items():
        typed.insert(columns.index(column), column, texts[order])
    return typed


def cells(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the counts of a table with any order of columns (N, 4), in the order of :data:`CELLS`."""
    return np.stack([table[name].to_numpy(np.int64) for name in CELLS], axis=1)


def write(table: pd.DataFrame, folder: Path) -> None:
    """Write ``counts.csv`` into ``folder``; equal counts give equal bytes."""
    atomic.write_text(folder / FILE, csv_io.table_text(canonical(table)))


def read(folder: Path) -> pd.DataFrame:
    """Read ``counts.csv`` from ``folder``, at most 16 MiB.

    Raises:
        RecordError: The file is not in the form that :func:`write` writes. The error names line and column.
    """
    return load(folder).to_dataframe()


def load(folder: Path) -> CsvTable:
    """Read ``counts.csv`` as :func:`read`, without a data frame."""
    return csv_io.read_table(folder / FILE, _PATTERNS, ["fold", "au", *CELLS], KEY, rows=MOST_ROWS)
