"""Result of a finished fold, in memory and as the files of the fold's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aubench._util import atomic
from aubench.core.errors import RecordError
from aubench.results import counts, histograms
from aubench.results.run_folder import RESULT, read_json, retrain_hint

_KEYS = (
    *("fold", "epochs", "best_epoch", "seconds", "train_frames_per_s", "inference_frames_per_s"),
    *("frames", "subjects", "pretraining", "train_prevalence", "checkpoint"),
)
"""Keys of ``result.json`` in all versions."""


@dataclass(frozen=True)
class FoldResult:
    """Result of a finished fold.

    Attributes:
        summary: Content of ``result.json``: frames, subjects, epochs, times, environment, checkpoint digest, scores.
        counts: Confusion counts of the test role, see :mod:`aubench.results.counts`.
        histograms: Histograms of probability, see :mod:`aubench.results.histograms`.
    """

    summary: dict[str, Any]
    counts: pd.DataFrame
    histograms: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write the tables, then ``result.json``, which marks the fold as finished."""
        counts.write(self.counts, folder)
        histograms.write(self.histograms, folder)
        atomic.write_json(folder / RESULT, self.summary)

    @classmethod
    def load(cls, folder: Path) -> FoldResult:
        """Read the result of a fold that another process finished.

        Raises:
            DataError: ``result.json`` is damaged.
            RecordError: A table is damaged.
        """
        try:
            return cls(read_summary(folder), counts.read(folder), histograms.read(folder))
        except RecordError as error:
            raise RecordError(error.what, where=error.where, hint=retrain_hint(folder)) from None


def read_summary(folder: Path) -> dict[str, Any]:
    """Read ``result.json`` of a finished fold.

    Raises:
        DataError: The file is damaged.
    """
    return read_json(folder / RESULT, _KEYS, retrain_hint(folder))
