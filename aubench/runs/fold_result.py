"""Result of a finished fold, in memory and as the files of the fold's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aubench._util import atomic
from aubench.core.errors import DataError, RecordError
from aubench.results import counts, epochs, histograms
from aubench.results.run_folder import EPOCHS, RESULT, read_json, read_json_lines, retrain_hint

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
        epochs: Learning curve, see :mod:`aubench.results.epochs`; None if its file is missing or of an earlier version.
    """

    summary: dict[str, Any]
    counts: pd.DataFrame
    histograms: pd.DataFrame
    epochs: pd.DataFrame | None = None

    def save(self, folder: Path) -> None:
        """Write the tables, then ``result.json``, which marks the fold as finished."""
        counts.write(self.counts, folder)
        histograms.write(self.histograms, folder)
        atomic.write_json(folder / RESULT, self.summary)

    @classmethod
    def load(cls, folder: Path) -> FoldResult:
        """Read the result of a fold that another process finished.

        Raises:
            DataError: ``result.json`` or ``epochs.jsonl`` is damaged.
            RecordError: A table is damaged.
        """
        summary = read_summary(folder)
        try:
            return cls(summary, counts.read(folder), histograms.read(folder), _read_epochs(folder, summary))
        except RecordError as error:
            raise RecordError(error.what, where=error.where, hint=retrain_hint(folder)) from None


def learning_curve(summary: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> pd.DataFrame | None:
    """Compute the learning curve of a fold from its ``result.json`` and its epochs."""
    return epochs.of_fold(summary["fold"], entries, {source["stage"] for source in summary["pretraining"]})


def _read_epochs(folder: Path, summary: Mapping[str, Any]) -> pd.DataFrame | None:
    path, hint = folder / EPOCHS, "delete this file to leave out the learning curves of the run"
    if not path.is_file():
        return None
    entries = read_json_lines(path, hint)
    if len(entries) != summary["epochs"]:
        raise DataError(f"has {len(entries)} epochs, {RESULT} says {summary['epochs']}", where=path, hint=hint)
    return learning_curve(summary, entries)


def read_summary(folder: Path) -> dict[str, Any]:
    """Read ``result.json`` of a finished fold.

    Raises:
        DataError: The file is damaged.
    """
    return read_json(folder / RESULT, _KEYS, retrain_hint(folder))
