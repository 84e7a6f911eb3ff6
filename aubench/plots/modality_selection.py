"""How often a method picks each modality, on clean inputs and under each condition of a suite."""

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
from aubench.runs.condition_scores import means_for
from aubench.runs.config import RunConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class SelectionShares:
    """How selections divide between modalities.

    Attributes:
        modalities: In the task's order.
        conditions: What was done to the test inputs.
        values: (conditions, modalities); rows sum to 1.
    """

    modalities: tuple[Modality, ...]
    conditions: tuple[Condition, ...]
    values: npt.NDArray[np.float64]


def compute(plan: RunConfig, folds: Sequence[int], under: Sequence[Condition]) -> SelectionShares:
    """Shares, averaged over the test frames of some folds.

    Args:
        plan: A run.
        folds: Finished ones.
        under: Conditions beside the clean one.

    Raises:
        UsageError: The method does not select.
        MethodError: What it tells are no shares.
    """
    if not issubclass(plan.entry.method_class, SupportsModalitySelection):
        raise UsageError(f"{plan.entry.name} selects nothing")
    conditions = (CLEAN, *under)
    parts = [_of_fold(plan, fold, conditions) for fold in folds]
    values = np.sum([sums for sums, _ in parts], 0) / sum(count for _, count in parts)
    return SelectionShares(plan.task.modalities, conditions, values)


def plot(shares: SelectionShares, words: Sequence[str]) -> Figure:
    """A bar for each condition, divided between the modalities."""
    places = np.arange(len(shares.conditions))
    with style.styled():
        figure = style.make_figure(7.2, 1.8 + 0.34 * len(places))
        axes = figure.add_subplot()
        begin = np.zeros(len(places))
        for modality, lengths in zip(shares.modalities, shares.values.T, strict=True):
            colour = style.BY_MODALITY[modality]
            bars = axes.barh(places, lengths, left=begin, height=0.68, color=colour, label=str(modality))
            told = [f"{length:.1%}" if length >= 0.06 else "" for length in lengths]
            axes.bar_label(bars, told, label_type="center", color="white", fontsize=9)
            begin = begin + lengths
        axes.set_yticks(places, [str(condition) for condition in shares.conditions])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(False)
        axes.set_xlim(0, 1)
        axes.set_xlabel("mean over test frames, features and votes", fontsize=9)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        style.set_title(figure, "How often each modality is picked", words)
        figure.legend(loc="outside lower center", ncols=len(shares.modalities), fontsize=9)
    return figure


def _of_fold(plan: RunConfig, fold: int, conditions: Sequence[Condition]) -> tuple[npt.NDArray[np.float64], int]:
    """Summed shares (conditions, modalities) and how many frames, or clips, they are of."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    method = loading.load_method(plan, fold).to(device)
    data, roles = plan.load_data(fold)
    sums, count = np.zeros((len(conditions), len(method.task.modalities))), 0
    means = means_for(conditions, data, roles.train, method, device)
    for batch in iter_batches(method, data, roles.test, device):
        views = center_crop(batch.images, method.recipe.image_size, method.recipe.crop)
        chance = FrameNoise(plan.seed, data.names(clips.image_rows(batch.rows).ravel()))
        sums += [
            _picked(cast(SupportsModalitySelection, method), apply_condition(views, c, chance, means))
            for c in conditions
        ]
        count += len(batch.rows)
    return sums, count


@torch.inference_mode()
def _picked(method: SupportsModalitySelection, inputs: Inputs) -> npt.NDArray[np.float64]:
    """Shares summed over frames, (M,)."""
    found, wanted = method.modality_selection(inputs).double().cpu(), (len(next(iter(inputs.values()))), len(inputs))
    if tuple(found.shape) != wanted or not torch.allclose(found.sum(1), torch.ones(wanted[0]).double(), atol=1e-4):
        raise MethodError(
            f"modality_selection returned {tuple(found.shape)}", where=type(method).__name__, hint=f"{wanted}, rows summing to 1"
        )
    summed: npt.NDArray[np.float64] = found.sum(0).numpy()
    return summed
