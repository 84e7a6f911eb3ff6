"""Figures of a robustness comparison: curves, heat maps of lost F1, and bars of F1 with missing modalities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aubench.core import hashing, system_files
from aubench.core.conditions import ALL, CLEAN, FILLS, Condition
from aubench.core.corruption_registry import CORRUPTIONS
from aubench.metrics import baselines, robustness_profile
from aubench.metrics.intervals import mean_interval
from aubench.metrics.robustness_profile import RobustnessProfile
from aubench.plots import curves, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAME = re.compile(r"missing|curves(_[a-z0-9_]+)?|heatmap_.+")
"""Names of figures, without suffix."""
_COLOURS = "RdBu_r"
_MIN_RANGE, _DARK = 5.0, 0.6
_FILL_TITLES = {
    "zero": "replaced by zeros",
    "black": "replaced by black images",
    "mean": "replaced by mean images",
}


def plot(profiles: Sequence[RobustnessProfile], subtitle: Sequence[str], folder: Path) -> list[Path]:
    """Plot curves, bars and heat maps to a folder, each as PNG and SVG, and return the paths.

    Other such pairs of files in the folder, which show an earlier comparison, are removed.
    """
    paths = [
        style.save(figure, folder / f"{name}{suffix}")
        for name, figure in _figures(profiles, subtitle)
        if figure is not None
        for suffix in style.SUFFIXES
    ]
    for stem in {path.stem for path in system_files.children(folder)} - {path.stem for path in paths}:
        pair = [folder / f"{stem}{suffix}" for suffix in style.SUFFIXES]
        if _NAME.fullmatch(stem) and all(path.is_file() for path in pair):
            for path in pair:
                path.unlink()
    return paths


def _figures(profiles: Sequence[RobustnessProfile], subtitle: Sequence[str]) -> Iterator[tuple[str, Figure | None]]:
    interval = "shaded: 95 % interval over subjects"
    for kind in CORRUPTIONS.names():
        name = "curves" if kind == "noise" else f"curves_{kind}"
        yield name, curves.plot_levels(profiles, kind, [*subtitle, interval])
    yield "missing", bars(profiles, [*subtitle, "lines: 95 % interval over subjects"])
    lost = {profile.name: _lost_points(profile) for profile in profiles if profile.conditions}
    limit = max([_MIN_RANGE, *(float(np.abs(values).max()) for values in lost.values())])
    for profile in profiles:
        values = lost.get(profile.name)
        figure = None if values is None else heat_map(profile, values, subtitle, limit)
        yield f"heatmap_{_file_name(profile.name)}", figure


def _file_name(name: str) -> str:
    """Return ``name`` if it is a plain word, otherwise its first word and a digest."""
    first = re.split(r"[^\w-]", name)[0]
    return name if first == name else f"{first}_{hashing.hash_json(name)[:8]}"


def _lost_points(profile: RobustnessProfile) -> npt.NDArray[np.float64]:
    """Return the loss of F1 in percentage points, (conditions, AUs and mean)."""
    return np.array([[-100 * each.estimate for each in profile.change(c)] for c in profile.conditions])


def heat_map(
    profile: RobustnessProfile, values: npt.NDArray[np.float64], subtitle: Sequence[str], limit: float
) -> Figure:
    """Plot the loss of F1 of each AU under each condition.

    Args:
        profile: Scores of a method.
        values: Loss in percentage points, (conditions, AUs and mean).
        subtitle: Lines below the title.
        limit: Percentage points of the strongest colour, the same for all methods that are compared.
    """
    with style.styled():
        figure = style.make_figure(2.6 + 0.56 * values.shape[1], 1.5 + 0.3 * len(values))
        axes = figure.add_subplot()
        image = axes.imshow(values, cmap=_COLOURS, vmin=-limit, vmax=limit, aspect="auto")
        _add_numbers(axes, values, limit)
        axes.set_xticks(range(values.shape[1]), [*(f"AU{au}" for au in profile.aus), "mean"])
        axes.set_yticks(range(len(values)), [describe(condition) for condition in profile.conditions])
        axes.axvline(values.shape[1] - 1.5, color="white", linewidth=3)
        axes.tick_params(length=0)
        axes.xaxis.tick_top()
        axes.grid(False)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
        bar.outline.set_visible(False)
        bar.set_label("points of F1 lost", fontsize=9)
        style.set_title(figure, f"{profile.name}: loss of F1 by AU", subtitle)
    return figure


def bars(profiles: Sequence[RobustnessProfile], subtitle: Sequence[str]) -> Figure | None:
    """Plot F1 with all and with missing modalities as bars with intervals over subjects, and the baseline.

    Returns:
        The figure, or None if no condition has missing modalities.
    """
    missing = [c for c in dict.fromkeys(c for each in profiles for c in each.conditions) if c.kind == "missing"]
    by_fill = {fill: (CLEAN, *(c for c in missing if c.corruption.kind == fill)) for fill in FILLS}
    groups = {fill: conditions for fill, conditions in by_fill.items() if len(conditions) > 1}
    if not groups:
        return None
    with style.styled():
        inches = max(map(len, groups.values())) * max(1.0, 0.16 * len(profiles) + 0.3)
        labels = [*(profile.name for profile in profiles), baselines.ALWAYS]
        columns, width = style.legend_columns(labels, max(6.4, 1.2 + inches))
        further_rows = -(-len(labels) // columns) - -(-len(labels) // style.LEGEND_COLUMNS)
        figure = style.make_figure(width, 1.3 + 3.1 * len(groups) + 0.2 * further_rows)
        panels = figure.subplots(len(groups), 1, sharey=True, squeeze=False)[:, 0]
        for axes, (fill, conditions) in zip(panels, groups.items(), strict=True):
            _bars(axes, profiles, conditions)
            axes.set_title(_FILL_TITLES[fill], fontsize=10)
        style.set_title(figure, "F1 with missing modalities", subtitle)
        by_name = dict(zip(*panels[0].get_legend_handles_labels()[::-1], strict=True))
        names = sorted(by_name, key=baselines.ALWAYS.__eq__)
        handles = [by_name[name] for name in names]
        style.add_legend(figure, handles, names, columns)
    return figure


def _bars(axes: Axes, profiles: Sequence[RobustnessProfile], conditions: Sequence[Condition]) -> None:
    width = 0.8 / len(profiles)
    style.baseline(axes, robustness_profile.common_always_positive_f1(profiles))
    colours = style.colours([profile.name for profile in profiles])
    for i, (profile, (colour, times)) in enumerate(zip(profiles, colours, strict=True)):
        shift = (i - (len(profiles) - 1) / 2) * width
        measured = [(x + shift, profile.by_condition[c]) for x, c in enumerate(conditions) if c in profile.by_condition]
        positions, intervals = [x for x, _ in measured], [mean_interval(each) for _, each in measured]
        low, middle, high = np.array([[100 * each.low, 100 * each.estimate, 100 * each.high] for each in intervals]).T
        axes.bar(positions, middle, 0.9 * width, color=colour, alpha=0.5**times, label=profile.name)
        axes.vlines(positions, low, high, color=style.INK, linewidth=1)
    labels = [describe(condition).partition(" (")[0].replace(" or ", "\nor ") for condition in conditions]
    axes.set_xticks(range(len(conditions)), labels, fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(conditions) - 0.4)
    axes.set_ylabel("F1 in %")
    axes.set_ylim(bottom=0)


def describe(condition: Condition) -> str:
    """Return a short description of a condition for axis labels."""
    if condition == CLEAN:
        return "all modalities"
    kind, level = condition.corruption
    if condition.kind == "missing":
        return f"no {' or '.join(condition.modalities) or 'any'}" + (f" ({kind})" if kind != FILLS[0] else "")
    return CORRUPTIONS.get(condition.kind).describe(level, "+".join(condition.modalities) or ALL)


def _add_numbers(axes: Axes, values: npt.NDArray[np.float64], limit: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > _DARK * limit else style.INK
        text = f"{round(value, 1) + 0.0:.1f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
