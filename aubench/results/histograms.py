"""Histograms of predicted probability per condition, fold, AU and label, for AUC and average precision.

``histograms.csv`` has the columns ``condition, fold, au, label, b000 … b199`` and two rows (label 0 and 1) for each
combination, sorted by the first four. Bin ``k`` of 200 holds the probabilities in ``(k/200, (k+1)/200]``, bin 0 also
holds 0. So 0.5 is an edge, and the bins from ``b100`` on hold exactly the positive predictions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench._util import atomic
from aubench.results import counts, csv_io
from aubench.results.csv_io import CsvTable

BINS = 200
KEY = ["condition", "fold", "au", "label"]
CELLS = [f"b{k:03d}" for k in range(BINS)]
FILE = "histograms.csv"

_PATTERNS = {
    "condition": counts.CONDITION,
    "fold": counts.SMALL,
    "au": counts.SMALL,
    "label": "0|1",
    **dict.fromkeys(CELLS, csv_io.COUNT),
}
MOST_ROWS = 40_000
"""Most rows of the file."""


def bins_of(probabilities: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Compute the bin of each probability, int64 0 … 199, in the same shape."""
    edges = np.ceil(np.asarray(probabilities, np.float64) * BINS).astype(np.int64) - 1
    return np.clip(edges, 0, BINS - 1)


def bins(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the cells of a table in canonical form (N, 200)."""
    return table.iloc[:, len(KEY) :].to_numpy(np.int64)


def of_predictions(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, aus: tuple[int, ...], **key: Any
) -> pd.DataFrame:
    """Compute the histograms of one fold and condition.

    Args:
        probabilities: (N, A).
        labels: (N, A), 1 present, 0 absent, -1 unknown; unknown labels are not counted.
        aus: AU of each column.
        key: ``condition`` and ``fold``.

    Returns:
        2 A rows with the columns of :data:`KEY` and :data:`CELLS`.
    """
    indices, label_array = bins_of(probabilities), np.asarray(labels)
    rows = [(i, label) for i in range(len(aus)) for label in (0, 1)]
    cells = [np.bincount(indices[label_array[:, i] == label, i], minlength=BINS) for i, label in rows]
    table = pd.DataFrame(np.array(cells, np.int64).reshape(len(rows), BINS), columns=CELLS)
    keys = {**key, "au": [aus[i] for i, _ in rows], "label": [label for _, label in rows]}
    return canonical(pd.concat([pd.DataFrame(keys, index=table.index), table], axis=1))


def canonical(table: pd.DataFrame) -> pd.DataFrame:
    """Convert a table of histograms to its canonical form, as :func:`aubench.results.counts.canonical` does.

    Raises:
        RecordError: A column is missing or unknown, a count is negative or fractional, or a key is not unique.
    """
    return counts.canonical_table(table, KEY, CELLS, ("condition",), FILE)


def write(table: pd.DataFrame, folder: Path) -> None:
    """Write ``histograms.csv`` into ``folder``; equal histograms give equal bytes."""
    atomic.write_text(folder / FILE, csv_io.table_text(canonical(table)))


def read(folder: Path) -> pd.DataFrame:
    """Read ``histograms.csv`` from ``folder``, at most 16 MiB.

    Raises:
        RecordError: The file is not in the form that :func:`write` writes. The error names line and column.
    """
    return load(folder).to_dataframe()


def load(folder: Path) -> CsvTable:
    """Read ``histograms.csv`` as :func:`read`, without a data frame."""
    return csv_io.read_table(folder / FILE, _PATTERNS, ["fold", "au", "label", *CELLS], KEY, rows=MOST_ROWS)
