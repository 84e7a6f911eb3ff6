"""Result of a finished fold, in memory and as the files of the fold's folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aubench._util import atomic
from aubench.results import counts, histograms
from aubench.results.run_folder import RESULT


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
            RecordError: A table is damaged.
        """
        summary = json.loads((folder / RESULT).read_text())
        return cls(summary, counts.read(folder), histograms.read(folder))
