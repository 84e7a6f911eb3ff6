"""What pairs of AUs do, in labels and in predictions, as matrices side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from aubench.core.errors import UsageError
from aubench.core.introspection import SupportsPairStatistics
from aubench.data import clips
from aubench.plots import style
from aubench.runs import loading
from aubench.runs.config import RunConfig
from aubench.runs.fold import PREDICTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from torch import Tensor

Matrix = npt.NDArray[np.float64]

STATES = {
    15: "both present,\nboth stay",
    5: "i present without j,\nit stays",
    14: "i begins\nwhile j stays",
    11: "i ends\nwhile j stays",
}
"""The states of a pair in two consecutive frames that are drawn, of 16: bits i now, j now, i next, j next."""


@dataclass(frozen=True)
class PairStatistics:
    """The knowledge in one kind of states.

    Attributes:
        name: Where it is from.
        intra: (A, A), how often both AUs are present where either is; -1 where unknown.
        inter: (A, A, 16), the probability of each state of a pair in two consecutive frames; -1 where unknown.
    """

    name: str
    intra: Matrix
    inter: Matrix


def compute(plan: RunConfig, fold: int) -> tuple[PairStatistics, ...]:
    """The knowledge in training labels, in test labels and in the predictions for these.

    Predictions count where there are labels, as labels do.

    Args:
        plan: A run.
        fold: A finished one.

    Raises:
        UsageError: The method does not learn with knowledge of pairs.
    """
    if not issubclass(plan.entry.method_class, SupportsPairStatistics):
        raise UsageError(f"{plan.entry.name} has no knowledge of AU pairs")
    method = cast(SupportsPairStatistics, loading.load_method(plan, fold))
    data, roles = plan.load_data(fold)
    told = pd.read_parquet(plan.fold_dir(fold) / PREDICTIONS)[[f"p_AU{au}" for au in plan.protocol.aus]].to_numpy()
    labels = data.labels[roles.test]
    found = np.where(labels >= 0, told, -1).astype(np.float32)
    parts = [np.searchsorted(roles.test, rows) for rows in clips.sequences(data, roles.test)]
    kinds = {
        "labels,\ntraining": [_states(data.labels[rows]) for rows in clips.sequences(data, roles.train)],
        "labels,\ntest": [_states(labels[part]) for part in parts],
        "predictions,\ntest": [_states(found[part]) for part in parts],
    }
    return tuple(_known(name, method, states) for name, states in kinds.items())


def plot(kinds: Sequence[PairStatistics], aus: Sequence[int], words: Sequence[str]) -> Figure:
    """A row for each kind of knowledge; colours mean the same all down a column.

    Args:
        kinds: At least one.
        aus: FACS numbers, in the matrices' order.
        words: What the figure is of.
    """
    columns = [("within a frame:\nboth, where either is", [kind.intra for kind in kinds])]
    columns += [(title, [kind.inter[..., state] for kind in kinds]) for state, title in STATES.items()]
    side = max(2.0, 0.19 * len(aus))
    with style.styled():
        figure = style.make_figure(1.2 + side * len(columns), 1.7 + side * len(kinds))
        grid = figure.subplots(len(kinds), len(columns), squeeze=False)
        for j, (title, matrices) in enumerate(columns):
            blank = [_without_diagonal(matrix) for matrix in matrices]
            top = max((float(m.max()) for m in blank if m.count()), default=1.0)
            shown = [_show(grid[i][j], matrix, aus, top) for i, matrix in enumerate(blank)]
            grid[0][j].set_title(title, fontsize=9)
            bar = figure.colorbar(shown[0], ax=list(grid[:, j]), location="bottom", aspect=18, pad=0.01)
            bar.ax.tick_params(labelsize=7)
        for i, kind in enumerate(kinds):
            grid[i][0].set_ylabel(f"{kind.name}\n\nAU i", fontsize=9)
        for axes in grid[-1]:
            axes.set_xlabel("AU j", fontsize=9)
        style.set_title(figure, "Knowledge of AU pairs, within a frame and from one frame to the next", words)
    return figure


def _known(name: str, method: SupportsPairStatistics, states: Sequence[Tensor]) -> PairStatistics:
    intra, inter = method.pair_statistics(states)
    return PairStatistics(name, intra.double().numpy(), inter.double().numpy())


def _states(values: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _without_diagonal(matrix: Matrix) -> np.ma.MaskedArray:
    """Only what is known of two different AUs."""
    return np.ma.masked_array(matrix, (matrix < 0) | np.eye(len(matrix), dtype=bool))


def _show(axes: Axes, matrix: np.ma.MaskedArray, aus: Sequence[int], top: float) -> AxesImage:
    axes.set_facecolor(style.GRID)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    places = np.arange(len(aus))
    axes.set_xticks(places, [str(au) for au in aus], fontsize=6.5)
    axes.set_yticks(places, [str(au) for au in aus], fontsize=6.5)
    axes.tick_params(length=0, pad=2)
    return axes.imshow(matrix, cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
