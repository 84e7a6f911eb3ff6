"""Curves of F1: by the level of a corruption, and by the value of a recipe field."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aubench.core.conditions import ALL
from aubench.core.corruption_registry import CORRUPTIONS
from aubench.metrics import baselines, robustness_profile
from aubench.metrics.intervals import ConfidenceInterval, mean_interval
from aubench.metrics.robustness_profile import ModalitySet, RobustnessProfile
from aubench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_levels(profiles: Sequence[RobustnessProfile], kind: str, subtitle: Sequence[str]) -> Figure | None:
    """Plot F1 by the level of a corruption: a panel per modality set, a line per method, and the baseline.

    Returns:
        The figure, or None if no profile has conditions of this kind.
    """
    sets = sorted({modalities for profile in profiles for modalities in profile.modality_sets(kind)}, key=_order)
    if not sets:
        return None
    with style.styled():
        names = [*(profile.name for profile in profiles), baselines.ALWAYS]
        columns, width = style.legend_columns(names, max(6.4, 1.2 + 2.9 * len(sets)))
        figure = style.make_figure(width, 4.0 + 0.2 * -(-len(names) // columns))
        panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
        for axes, modalities in zip(panels, sets, strict=True):
            _panel(axes, profiles, kind, modalities)
        panels[0].set_ylabel("F1 in %")
        panels[0].set_ylim(bottom=0)
        style.set_title(figure, CORRUPTIONS.get(kind).title, subtitle)
        handles = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        labels = [name for name in names if name in handles]
        style.add_legend(figure, [handles[name] for name in labels], labels, columns)
    return figure


def _panel(axes: Axes, profiles: Sequence[RobustnessProfile], kind: str, modalities: ModalitySet) -> None:
    ticks: set[float] = set()
    style.baseline(axes, robustness_profile.common_always_positive_f1(profiles))
    for profile, (colour, times) in zip(profiles, style.colours([each.name for each in profiles]), strict=True):
        if modalities not in profile.modality_sets(kind):
            continue
        points = {level: mean_interval(f1) for level, f1 in profile.curve(kind, modalities)}
        ticks |= set(points)
        _add_line(axes, points, colour, style.DASHES[times % len(style.DASHES)], profile.name)
    axes.set_xticks(sorted(ticks), [f"{tick:g}" for tick in sorted(ticks)])
    axes.set_title(f"on {'+'.join(modalities) or ALL}", fontsize=10)
    axes.set_xlabel(CORRUPTIONS.get(kind).axis_label, fontsize=9)


def plot_sweep(panels: Mapping[str, Mapping[float, ConfidenceInterval]], title: str, subtitle: Sequence[str]) -> Figure:
    """Plot F1 by the value of a recipe field, one panel per description of a field."""
    with style.styled():
        figure = style.make_figure(max(6.4, 1.2 + 3.4 * len(panels)), 4.0)
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (name, points) in zip(grid, panels.items(), strict=True):
            _add_line(axes, {value: points[value] for value in sorted(points)}, style.LINES[0])
            axes.set_xticks(sorted(points), [f"{value:g}" for value in sorted(points)])
            axes.set_xlabel(name, fontsize=9)
        grid[0].set_ylabel("F1 in %")
        style.set_title(figure, title, subtitle)
    return figure


def _add_line(
    axes: Axes, points: Mapping[float, ConfidenceInterval], colour: str, line: str = "-", label: str | None = None
) -> None:
    """Add a line with a shaded interval over subjects."""
    bounds = ("low", "estimate", "high")
    low, middle, high = ([100 * getattr(interval, bound) for interval in points.values()] for bound in bounds)
    axes.fill_between(list(points), low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(list(points), middle, line, marker="o", ms=3.5, color=colour, label=label)


def _order(modalities: ModalitySet) -> tuple[int, list[tuple[int, str]]]:
    """Return the sort key of a modality set: single modalities first, all modalities last."""
    return len(modalities) or sys.maxsize, [m.order for m in modalities]
