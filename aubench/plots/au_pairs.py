"""Matrices of AU-pair statistics in labels and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from aubench.core.errors import DataError, UsageError
from aubench.core.introspection import SupportsPairStatistics
from aubench.data import clips
from aubench.plots import style
from aubench.results.run_folder import PREDICTIONS, retrain_hint
from aubench.runs import loading
from aubench.runs.config import RunConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Matrix = npt.NDArray[np.float64]

STATES = {
    15: "both present,\nboth stay",
    5: "i present without j,\nit stays",
    14: "i begins\nwhile j stays",
    11: "i ends\nwhile j stays",
}
"""Plotted states of a pair in two consecutive frames, of 16: bits i now, j now, i next, j next."""


@dataclass(frozen=True)
class PairStatistics:
    """Statistics of AU pairs in labels or predictions.

    Attributes:
        name: Source of the states.
        intra: Share of frames with both AUs among those with either, (A, A). -1 if unknown.
        inter: Probability of each state of a pair in two consecutive frames, (A, A, 16). -1 if unknown.
    """

    name: str
    intra: Matrix
    inter: Matrix


def compute(config: RunConfig, fold: int) -> tuple[PairStatistics, ...]:
    """Compute the statistics of training labels, test labels and test predictions of a finished fold.

    Frames without labels are excluded from predictions too.

    Raises:
        UsageError: The method has no pair statistics.
    """
    if not issubclass(config.entry.method_class, SupportsPairStatistics):
        raise UsageError(f"{config.entry.name} has no function pair_statistics", hint="see docs/figures.md")
    method = cast(SupportsPairStatistics, loading.load_method(config, fold))
    data, split = config.load_data(fold)
    columns = [f"p_AU{au}" for au in config.protocol.aus]
    labels, probs = data.labels[split.test], _read_predictions(config.fold_dir(fold), columns)
    predictions = np.where(labels >= 0, probs, -1)
    sequences = [np.searchsorted(split.test, rows) for rows in clips.sequences(data, split.test)]
    sources = {
        "labels,\ntraining": [data.labels[rows] for rows in clips.sequences(data, split.train)],
        "labels,\ntest": [labels[rows] for rows in sequences],
        "predictions,\ntest": [predictions[rows] for rows in sequences],
    }
    return tuple(statistics_of(name, method, states) for name, states in sources.items())


def _read_predictions(folder: Path, columns: list[str]) -> npt.NDArray[np.float32]:
    path = folder / PREDICTIONS
    try:
        return pd.read_parquet(path, columns=columns).to_numpy()
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are subclasses
        what = f"is not a file of predictions, or is cut off ({type(error).__name__})"
        raise DataError(what, where=path, hint=retrain_hint(folder)) from None


def plot(statistics: Sequence[PairStatistics], aus: Sequence[int], subtitle: Sequence[str]) -> Figure:
    """Plot one row of matrices per source. Each column has one colour scale.

    Args:
        statistics: Statistics of at least one source.
        aus: FACS numbers in the matrices' order.
        subtitle: Parts of the subtitle.
    """
    columns = [("within a frame:\nboth, given either", [each.intra for each in statistics])]
    columns += [(title, [each.inter[..., state] for each in statistics]) for state, title in STATES.items()]
    side = max(2.0, 0.19 * len(aus))
    with style.styled():
        figure = style.make_figure(1.2 + side * len(columns), 1.7 + side * len(statistics))
        grid = figure.subplots(len(statistics), len(columns), squeeze=False)
        for j, (title, matrices) in enumerate(columns):
            masked = [_without_diagonal(matrix) for matrix in matrices]
            top = max((float(m.max()) for m in masked if m.count()), default=1.0)
            images = [_show(grid[i][j], matrix, aus, top) for i, matrix in enumerate(masked)]
            grid[0][j].set_title(title, fontsize=9)
            bar = figure.colorbar(images[0], ax=list(grid[:, j]), location="bottom", aspect=18, pad=0.01)
            bar.ax.tick_params(labelsize=7)
        for i, each in enumerate(statistics):
            grid[i][0].set_ylabel(f"{each.name}\n\nAU i", fontsize=9)
        for axes in grid[-1]:
            axes.set_xlabel("AU j", fontsize=9)
        style.set_title(figure, "Statistics of AU pairs within a frame and between consecutive frames", subtitle)
    return figure


def statistics_of(
    name: str, method: SupportsPairStatistics, states: Sequence[npt.NDArray[np.generic]]
) -> PairStatistics:
    """Compute the statistics of AU states (F, A) of sequences."""
    intra, inter = method.pair_statistics([torch.from_numpy(values.astype(np.float32)) for values in states])
    return PairStatistics(name, intra.double().numpy(), inter.double().numpy())


def _without_diagonal(matrix: Matrix) -> np.ma.MaskedArray:
    """Mask unknown entries and the diagonal."""
    return np.ma.masked_array(matrix, (matrix < 0) | np.eye(len(matrix), dtype=bool))


def _show(axes: Axes, matrix: np.ma.MaskedArray, aus: Sequence[int], top: float) -> AxesImage:
    axes.set_facecolor(style.GRID)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    ticks = np.arange(len(aus))
    axes.set_xticks(ticks, [str(au) for au in aus], fontsize=6.5)
    axes.set_yticks(ticks, [str(au) for au in aus], fontsize=6.5)
    axes.tick_params(length=0, pad=2)
    return axes.imshow(matrix, cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
