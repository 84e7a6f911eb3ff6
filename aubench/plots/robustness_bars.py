"""What conditions cost: a heat map of AUs and conditions for a method, bars of F1 without modalities for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aubench.core.conditions import ALL, CLEAN, FILLS, Condition
from aubench.metrics import robustness_profile
from aubench.metrics.intervals import mean_interval
from aubench.metrics.robustness_profile import RobustnessProfile
from aubench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = "RdBu_r"
_LEAST_RANGE, _DARK = 5.0, 0.6
_STAND_IN = {
    "zero": "zeros in their place",
    "black": "black images in their place",
    "mean": "mean images in their place",
}


def heat_map(one: RobustnessProfile, words: Sequence[str]) -> Figure | None:
    """Points of F1 that each AU loses under each condition; None where there is no condition.

    Args:
        one: The method.
        words: Said below the title.
    """
    if not one.conditions:
        return None
    values = np.array([[-100 * each.estimate for each in one.change(c)] for c in one.conditions])
    with style.styled():
        figure = style.make_figure(2.6 + 0.56 * values.shape[1], 1.5 + 0.3 * len(values))
        axes = figure.add_subplot()
        reach = max(_LEAST_RANGE, float(np.abs(values).max()))
        shown = axes.imshow(values, cmap=_COLOURS, vmin=-reach, vmax=reach, aspect="auto")
        _numbers(axes, values, reach)
        axes.set_xticks(range(values.shape[1]), [*(f"AU{au}" for au in one.aus), "mean"])
        axes.set_yticks(range(len(values)), [words_of(condition) for condition in one.conditions])
        axes.axvline(values.shape[1] - 1.5, color="white", linewidth=3)
        axes.tick_params(length=0)
        axes.xaxis.tick_top()
        axes.grid(False)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(shown, ax=axes, pad=0.02, aspect=30)
        bar.outline.set_visible(False)
        bar.set_label("points of F1 lost", fontsize=9)
        style.set_title(figure, f"{one.name}: what each AU loses", words)
    return figure


def bars(found: Sequence[RobustnessProfile], words: Sequence[str]) -> Figure | None:
    """F1 with all modalities and without some, a bar a method with its interval over subjects; and always-positive.

    Args:
        found: The methods.
        words: Said below the title.

    Returns:
        None where no modality was missing.
    """
    gone = [c for c in dict.fromkeys(c for one in found for c in one.conditions) if c.kind == "missing"]
    by_fill = {fill: (CLEAN, *(c for c in gone if c.corruption.kind == fill)) for fill in FILLS}
    groups = {fill: conditions for fill, conditions in by_fill.items() if len(conditions) > 1}
    if not groups:
        return None
    with style.styled():
        inches = max(map(len, groups.values())) * max(1.0, 0.16 * len(found) + 0.3)
        figure = style.make_figure(max(6.4, 1.2 + inches), 1.3 + 3.1 * len(groups))
        panels = figure.subplots(len(groups), 1, sharey=True, squeeze=False)[:, 0]
        for axes, (fill, conditions) in zip(panels, groups.items(), strict=True):
            _bars(axes, found, conditions)
            axes.set_title(_STAND_IN[fill], fontsize=10)
        style.set_title(figure, "F1 without modalities", words)
        by_name = dict(zip(*panels[0].get_legend_handles_labels()[::-1], strict=True))
        names = sorted(by_name, key=style.ALWAYS.__eq__)
        handles = [by_name[name] for name in names]
        figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)), fontsize=9)
    return figure


def _bars(axes: Axes, found: Sequence[RobustnessProfile], conditions: Sequence[Condition]) -> None:
    width = 0.8 / len(found)
    style.baseline(axes, robustness_profile.common_always_positive_f1(found))
    for i, (one, (colour, times)) in enumerate(zip(found, style.colours([x.name for x in found]), strict=True)):
        there = [
            (place, mean_interval(one.by_condition[c])) for place, c in enumerate(conditions) if c in one.by_condition
        ]
        places = [place + (i - (len(found) - 1) / 2) * width for place, _ in there]
        low, middle, high = np.array([[100 * x.low, 100 * x.estimate, 100 * x.high] for _, x in there]).T
        axes.bar(places, middle, 0.9 * width, color=colour, alpha=0.5**times, label=one.name)
        axes.vlines(places, low, high, color=style.INK, linewidth=1)
    labels = [words_of(condition).partition(" (")[0].replace(" or ", "\nor ") for condition in conditions]
    axes.set_xticks(range(len(conditions)), labels, fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(conditions) - 0.4)
    axes.set_ylabel("F1 in %")
    axes.set_ylim(bottom=0)


def words_of(condition: Condition) -> str:
    """A condition in words."""
    if condition == CLEAN:
        return "all there"
    how, level = condition.corruption
    if condition.kind == "missing":
        told = " or ".join(condition.modalities) or "any"
        return f"no {told}" + (f" ({how})" if how != FILLS[0] else "")
    where = "+".join(condition.modalities) or ALL
    return f"noise {level:g} on {where}" if condition.kind == "noise" else f"{level:.0%} of {where} hidden"


def _numbers(axes: Axes, values: npt.NDArray[np.float64], reach: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > _DARK * reach else style.INK
        told = f"{round(value, 1) + 0.0:.1f}"
        axes.text(column, row, told, ha="center", va="center", fontsize=8, color=colour)
