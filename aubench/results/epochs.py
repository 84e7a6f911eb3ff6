"""Learning curves: frames trained on and validation scores after each epoch.

``epochs.csv`` has the columns ``fold, epoch, stage, pretraining, frames, selectable, f1, acc``, sorted by the first
two. ``epoch`` counts from 1 over all stages of a fold, as ``best_epoch`` does. ``pretraining`` is 1 in stages that hide
all labels. ``frames`` is the number of frames trained on until the end of the epoch, in pre-training stages or in
supervised stages. ``selectable`` is 1 if the epoch may be scored. ``f1`` and ``acc`` are the scores on the validation
role, empty where nothing was validated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from aubench._util import atomic
from aubench.results import counts, csv_io
from aubench.results.csv_io import CsvTable

KEY = ["fold", "epoch"]
FILE = "epochs.csv"

_FLAG = "0|1"
_SCORE = r"(0\.[0-9]{6}|1\.000000)?"
_PATTERNS = {
    "fold": counts.SMALL,
    "epoch": r"[1-9][0-9]{0,5}",
    "stage": r"[A-Za-z0-9_.+ -]{1,64}",
    "pretraining": _FLAG,
    "frames": csv_io.COUNT,
    "selectable": _FLAG,
    "f1": _SCORE,
    "acc": _SCORE,
}
_SCORES = ["f1", "acc"]
_NUMBERS = ["fold", "epoch", "pretraining", "frames", "selectable"]
_ROWS = 200_000


def of_fold(fold: int, entries: Sequence[Mapping[str, Any]], pretraining: Collection[str]) -> pd.DataFrame | None:
    """Compute the learning curve of one fold.

    Args:
        fold: Number of the fold.
        entries: Epochs in order, as in the fold's ``epochs.jsonl``.
        pretraining: Names of the pre-training stages, which precede the others.

    Returns:
        One row per epoch with the columns of ``epochs.csv``, scores missing where nothing was validated. None if there
        are no epochs, or if an earlier version wrote them without their frames.
    """
    if not entries or any("frames" not in entry or "eligible" not in entry for entry in entries):
        return None
    first = sum(1 for _ in takewhile(lambda entry: entry["stage"] in pretraining, entries))
    rows, frames = [], 0
    for number, entry in enumerate(entries, 1):
        frames = entry["frames"] + (0 if number == first + 1 else frames)
        validation = entry["validation"] or {}
        rows.append(
            {
                "fold": fold,
                "epoch": number,
                "stage": re.sub(r"[^A-Za-z0-9_.+ -]", "_", entry["stage"])[:64],
                "pretraining": int(number <= first),
                "frames": frames,
                "selectable": int(entry["eligible"]),
                **{score: validation.get(score) for score in _SCORES},
            }
        )
    return canonical(pd.DataFrame(rows))


def canonical(table: pd.DataFrame) -> pd.DataFrame:
    """Convert a table of epochs to its canonical form: typed, scores with six decimals, sorted by :data:`KEY`.

    Raises:
        RecordError: A key is not unique.
    """
    typed = table.astype({"stage": "str", **dict.fromkeys(_NUMBERS, "int64"), **dict.fromkeys(_SCORES, "float64")})
    order = csv_io.sort_order([typed[name] for name in KEY], KEY, where=FILE)
    return typed.round(6)[list(_PATTERNS)].iloc[order].reset_index(drop=True)


def to_text(table: pd.DataFrame) -> str:
    """Format a canonical table as the content of ``epochs.csv``."""
    return table.to_csv(index=False, lineterminator="\n", float_format="%.6f")


def write(table: pd.DataFrame, folder: Path) -> None:
    """Write ``epochs.csv`` into ``folder``; equal tables give equal bytes."""
    atomic.write_text(folder / FILE, to_text(canonical(table)))


def load(folder: Path) -> CsvTable:
    """Read ``epochs.csv`` from ``folder``, at most 16 MiB.

    Raises:
        RecordError: The file is not in the form that :func:`write` writes. The error names line and column.
    """
    return csv_io.read_table(folder / FILE, _PATTERNS, _NUMBERS, KEY, rows=_ROWS, fractions=_SCORES)
