"""Shares of modalities in a method's selections, on clean inputs and under conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch

from aubench.core.conditions import CLEAN, Condition
from aubench.core.errors import MethodError, UsageError
from aubench.core.introspection import SupportsModalitySelection
from aubench.core.task import Inputs, Modality
from aubench.data import clips
from aubench.data.transforms import center_crop
from aubench.evaluation.corruptions import FrameNoise, apply_condition
from aubench.evaluation.inference import iter_batches
from aubench.plots import style
from aubench.runs import loading
from aubench.runs.condition_evaluation import mean_images
from aubench.runs.config import RunConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class SelectionShares:
    """Shares of modalities in selections.

    Attributes:
        modalities: Modalities in the task's order.
        conditions: Conditions of the test inputs.
        values: Shares (conditions, modalities). Rows sum to 1.
    """

    modalities: tuple[Modality, ...]
    conditions: tuple[Condition, ...]
    values: npt.NDArray[np.float64]


def compute(config: RunConfig, folds: Sequence[int], conditions: Sequence[Condition]) -> SelectionShares:
    """Compute shares averaged over the test frames of folds.

    Args:
        config: Configuration of the run.
        folds: Finished folds.
        conditions: Conditions besides ``clean``.

    Raises:
        UsageError: The method does not select modalities.
        MethodError: The method does not return shares.
    """
    if not issubclass(config.entry.method_class, SupportsModalitySelection):
        raise UsageError(f"{config.entry.name} has no function modality_selection", hint="see docs/figures.md")
    conditions = (CLEAN, *conditions)
    by_fold = [_sum_shares(config, fold, conditions) for fold in folds]
    values = np.sum([sums for sums, _ in by_fold], 0) / sum(count for _, count in by_fold)
    return SelectionShares(config.task.modalities, conditions, values)


def plot(shares: SelectionShares, subtitle: Sequence[str]) -> Figure:
    """Plot a stacked bar of modalities for each condition."""
    rows = np.arange(len(shares.conditions))
    with style.styled():
        figure = style.make_figure(7.2, 1.8 + 0.34 * len(rows))
        axes = figure.add_subplot()
        left = np.zeros(len(rows))
        for i, (modality, lengths) in enumerate(zip(shares.modalities, shares.values.T, strict=True)):
            colour = style.BY_MODALITY.get(modality) or style.LINES[(i + len(style.BY_MODALITY)) % len(style.LINES)]
            bars = axes.barh(rows, lengths, left=left, height=0.68, color=colour, label=str(modality))
            labels = [f"{length:.1%}" if length >= 0.06 else "" for length in lengths]
            axes.bar_label(bars, labels, label_type="center", color="white", fontsize=9)
            left = left + lengths
        axes.set_yticks(rows, [str(condition) for condition in shares.conditions])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(False)
        axes.set_xlim(0, 1)
        axes.set_xlabel("mean over test frames, features and votes", fontsize=9)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        style.set_title(figure, "Share of modalities in selections", subtitle)
        style.legend(figure, axes)
    return figure


def _sum_shares(config: RunConfig, fold: int, conditions: Sequence[Condition]) -> tuple[npt.NDArray[np.float64], int]:
    """Return the sum of shares (conditions, modalities) and the number of frames or clips."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    method = loading.load_method(config, fold).to(device)
    data, split = config.load_data(fold)
    sums, count = np.zeros((len(conditions), len(method.task.modalities))), 0
    means = mean_images(conditions, data, split.train, method, device)
    for batch in iter_batches(method, data, split.test, device):
        views = center_crop(batch.images, method.recipe.image_size, method.recipe.crop)
        noise = FrameNoise(config.seed, data.names(clips.image_rows(batch.rows).ravel()))
        sums += [
            _shares(cast(SupportsModalitySelection, method), apply_condition(views, c, noise, means))
            for c in conditions
        ]
        count += len(batch.rows)
    return sums, count


@torch.inference_mode()
def _shares(method: SupportsModalitySelection, inputs: Inputs) -> npt.NDArray[np.float64]:
    """Return the sum of shares over frames, (M,)."""
    shares, shape = method.modality_selection(inputs).double().cpu(), (len(next(iter(inputs.values()))), len(inputs))
    if tuple(shares.shape) != shape or not torch.allclose(shares.sum(1), torch.ones(shape[0]).double(), atol=1e-4):
        raise MethodError(
            f"modality_selection returned {tuple(shares.shape)}",
            where=type(method).__name__,
            hint=f"return shape {shape} with rows that sum to 1",
        )
    total: npt.NDArray[np.float64] = shares.sum(0).numpy()
    return total
