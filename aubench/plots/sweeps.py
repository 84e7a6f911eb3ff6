"""Curves of F1 by the value of a recipe field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aubench.metrics.intervals import ConfidenceInterval
from aubench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot(panels: Mapping[str, Mapping[float, ConfidenceInterval]], title: str, subtitle: Sequence[str]) -> Figure:
    """Plot a line per panel with a shaded interval over subjects.

    Args:
        panels: F1 by value of a recipe field, by the field's description.
        title: Title of the figure.
        subtitle: Parts of the subtitle.
    """
    with style.styled():
        figure = style.make_figure(max(6.4, 1.2 + 3.4 * len(panels)), 4.0)
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (name, points) in zip(grid, panels.items(), strict=True):
            _panel(axes, name, points)
        grid[0].set_ylabel("F1 in %")
        style.set_title(figure, title, subtitle)
    return figure


def _panel(axes: Axes, name: str, points: Mapping[float, ConfidenceInterval]) -> None:
    values = sorted(points)
    low, middle, high = (
        [100 * getattr(points[value], bound) for value in values] for bound in ("low", "estimate", "high")
    )
    axes.fill_between(values, low, high, color=style.LINES[0], alpha=0.13, linewidth=0)
    axes.plot(values, middle, marker="o", ms=3.5, color=style.LINES[0])
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_xlabel(name, fontsize=9)
