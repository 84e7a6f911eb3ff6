"""Learning curve of one fold and seed: validation F1 against the frames of supervised training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aubench.metrics.resampling import Floats
from aubench.results.csv_io import CsvTable


@dataclass(frozen=True)
class LearningCurve:
    """Validation F1 of one fold and seed.

    Attributes:
        frames: Frames of supervised training until each validated epoch, ascending.
        f1: Validation F1 after each of these epochs, 0 to 1.
        budget: Frames of the whole supervised training.
    """

    frames: Floats
    f1: Floats
    budget: int

    def at(self, frames: Sequence[float] | Floats) -> Floats:
        """Interpolate F1 linearly; NaN before the first epoch, the last value after the last."""
        return np.asarray(np.interp(np.asarray(frames, np.float64), self.frames, self.f1, left=np.nan))


def common_frames(curves: Sequence[LearningCurve]) -> Floats:
    """Return the frames of all curves from the first epoch of each of them on, ascending."""
    frames = np.unique(np.concatenate([curve.frames for curve in curves]))
    return np.asarray(frames[frames >= max(curve.frames[0] for curve in curves)])


def curves_of(epochs: CsvTable | None) -> tuple[LearningCurve, ...]:
    """Return the curve of each fold of a table of epochs; F1 is empty where nothing was validated."""
    if epochs is None:
        return ()
    columns = (np.asarray(epochs.columns[name]) for name in ("fold", "pretraining", "frames", "f1"))
    fold, pretraining, frames, f1 = columns
    curves = []
    for number in np.unique(fold):
        chosen = (fold == number) & (pretraining == 0)
        validated = chosen & ~np.isnan(f1)
        if chosen.any():
            curve = frames[validated].astype(np.float64), f1[validated]
            curves.append(LearningCurve(*curve, int(frames[chosen].max())))
    return tuple(curves)
