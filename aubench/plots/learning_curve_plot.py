"""Plot of a protocol's learning curves: validation F1 of each method against the frames of supervised training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aubench.core.errors import UsageError
from aubench.leaderboard import protocol_page, tables
from aubench.leaderboard.build import load_protocol
from aubench.leaderboard.curve_points import LearningCurve, common_frames
from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.learning_curves import learning_curves
from aubench.metrics.resampling import Floats
from aubench.plots import style
from aubench.plots.style import INK, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DISTANCE = 4.2
"""Least distance between labels in percent of the axis."""

_Row = tuple[Entry, list[LearningCurve]]


def plot(root: Path, protocol: str, out: Path) -> Path:
    """Plot the learning curves of a protocol: those of its first table that has any.

    Args:
        root: Folder of the leaderboard.
        protocol: Name of the protocol.
        out: File to write, .png or .svg.

    Raises:
        UsageError: No complete run of the protocol has learning curves, or the file has another suffix.
        RecordError: A record is invalid.
    """
    style.check(out)
    for table in load_protocol(root, protocol).tables:
        rows = [(entry, curves) for entry in table.methods if (curves := learning_curves(entry))]
        if not rows:
            continue
        with style.styled():
            figure = style.make_figure(10.0, max(5.0, 1.8 + 0.24 * len(rows)))
            draw_curves(figure.add_subplot(), table, rows)
            demo = ("demo, not ranked",) if table.is_demo else ()
            seeds = tables.seed_counts([entry for entry, _ in rows])
            key = "line: mean over folds and seeds, band: standard deviation"
            parts = (*demo, table.dataset, *protocol_page.figure_notes(table), seeds, key)
            style.set_title(figure, f"{protocol}: learning curves", parts)
        return style.save(figure, out)
    hint = "records of earlier versions have none"
    raise UsageError(f"no complete run of protocol '{protocol}' has learning curves", where=root, hint=hint)


def draw_curves(axes: Axes, table: RankedTable, rows: Sequence[_Row]) -> None:
    """Draw a line with a band for each method, and its name at the right."""
    names = tables.unique_names([entry for entry, _ in rows])
    ends = []
    for name, (entry, curves), (colour, times) in zip(names, rows, style.colours(names), strict=True):
        frames, mean, std = _mean_curve(curves)
        axes.fill_between(frames, mean - std, mean + std, color=colour, alpha=0.1, linewidth=0)
        axes.plot(frames, mean, style.DASHES[times % len(style.DASHES)], color=colour, linewidth=1.6, label=name)
        ends.append((float(mean[-1]), float(frames[-1]), f"{name}{_pretraining(entry)}", colour))
    axes.set_xlim(0, 1.02 * max(end for _, end, _, _ in ends))
    axes.set_xlabel("thousand frames of supervised training per fold")
    role = "the test role" if table.selection == "oracle_test" else "validation"
    axes.set_ylabel(f"F1 on {role} in %")
    _add_labels(axes, sorted(ends))


def _mean_curve(curves: Sequence[LearningCurve]) -> tuple[Floats, Floats, Floats]:
    """Average curves from the first epoch of all of them on; a training that stopped early keeps its last F1.

    Returns:
        Thousands of frames, and mean and standard deviation of F1 in %.
    """
    frames = common_frames(curves)
    f1 = 100 * np.stack([curve.at(frames) for curve in curves])
    return frames / 1000, f1.mean(axis=0), f1.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(len(frames))


def _pretraining(entry: Entry) -> str:
    frames = entry.pretraining_frames
    return f" (pre-trained on {frames / 1000:,.0f}k)" if frames else ""


def _add_labels(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Add the names of lines in the order of their ends, each with a line to its end."""
    low, high = axes.get_ylim()
    step = _DISTANCE / 100 * (high - low)
    heights = [end[0] for end in ends]
    for _ in range(50):  # moves overlapping neighbours apart
        for i in range(1, len(heights)):
            if (overlap := step - (heights[i] - heights[i - 1])) > 0:
                heights[i - 1], heights[i] = heights[i - 1] - overlap / 2, heights[i] + overlap / 2
    right = axes.get_xlim()[1]
    for height, (f1, frames, name, colour) in zip(heights, ends, strict=True):
        axes.plot([frames, right, 1.03 * right], [f1, f1, height], color=colour, lw=1.2, ls=":", clip_on=False)
        axes.text(1.035 * right, height, f"{f1:.1f}  {name}", color=INK, va="center", fontsize=9)
    axes.set_ylim(min(low, heights[0] - step), max(high, heights[-1] + step))
    axes.text(1.035 * right, heights[-1] + 1.2 * step, "at the end", color=QUIET, va="center", fontsize=9)
