"""Plot of a leaderboard table: F1 of each method with its confidence interval over subjects."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench.core.errors import UsageError
from aubench.leaderboard import protocol_page, tables
from aubench.leaderboard.build import load_protocol
from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.render import EMPTY
from aubench.metrics import baselines
from aubench.plots import style
from aubench.plots.style import GRID, INK, QUIET
from aubench.results.record_info import DEMO_PRESETS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METHOD, _BASELINE = style.LINES[0], "#999999"
_WIDTH, _LEFT, _RIGHT = 11, 0.46, 0.97
"""Width of the figure in inches, and the sides of the plot in it, if the names are short."""
_NAME = -0.88
_NAME_WIDTH = 1.7
"""Width in inches of the column of names, which begins at ``_NAME``. It grows to the left for longer names."""
_COLUMNS = {"Modalities": -0.43, "F1": -0.33, "Rank": -0.245, "AUC": -0.15, "GFLOPs": -0.02}
"""Columns of the score table with their positions, in widths of the plot to their right."""
_KEY = "line: mean over seeds, circles: seeds, bar: 95 % interval over test subjects"
_FONT_SIZE = 10
_STEP = 10
"""Percentage points between possible lower limits of the axis."""


def plot(root: Path, protocol: str, out: Path) -> Path:
    """Plot the first ranked table of a protocol.

    Args:
        root: Folder of the leaderboard.
        protocol: Name of the protocol.
        out: File to write, .png or .svg.

    Raises:
        UsageError: The protocol has no ranked run, or the file has another suffix.
        RecordError: A record is invalid.
    """
    style.check(out)
    ranked = load_protocol(root, protocol).ranked
    if not ranked:
        presets = " and ".join(sorted(DEMO_PRESETS))
        hint = f"submitted predictions, runs with missing folds and runs of the preset {presets} are not drawn"
        raise UsageError(f"no complete run of protocol '{protocol}' to rank", where=root, hint=hint)
    from matplotlib.figure import Figure

    table = ranked[0]
    with style.styled():
        height, extra = 1.75 + 0.34 * len(table.entries), _extra_width(table)
        width = _WIDTH + extra
        figure = Figure(figsize=(width, height))
        left, right = (1 - (1 - side) * _WIDTH / width for side in (_LEFT, _RIGHT))
        figure.subplots_adjust(left=left, right=right, bottom=0.85 / height, top=1 - 0.55 / height)
        draw_table(figure.add_subplot(), table, protocol)
        return style.save(figure, out)


def draw_table(axes: Axes, table: RankedTable, protocol: str) -> None:
    """Draw a table into ``axes``: a row per entry, with text columns to the left."""
    scores = tables.score_table(table)
    rows = sorted(zip(table.entries, scores.rows, strict=True), key=lambda row: row[0].f1)
    always = next(row for row in table.entries if row.name == baselines.ALWAYS)
    start = _lower_limit(table, always)
    name_x = _NAME - _extra_width(table) / (_WIDTH * (_RIGHT - _LEFT))
    for y, (entry, cells) in enumerate(rows):
        name = tables.display_name(entry, table.methods)
        _text(axes, name_x, y, name, align="left", color=INK if entry.runs else QUIET)
        for header, cell in zip(scores.headers, cells, strict=True):
            if header in _COLUMNS:
                text = "" if cell.text == EMPTY else cell.text.partition(" ±")[0]
                _text(axes, _COLUMNS[header], y, text, weight="bold" if cell.bold else "normal")
        _add_markers(axes, y, entry, start)
    axes.spines["left"].set_visible(False)
    parts = (table.dataset, tables.seed_counts(table.methods), *protocol_page.figure_notes(table))
    title = f"{protocol}: {', '.join(parts)}"
    axes.set_title(title, loc="left", x=name_x, pad=14, fontsize=11)
    axes.set_yticks(range(len(rows)), labels=[""] * len(rows))
    axes.tick_params(length=0)
    axes.grid(False)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.vlines(100 * always.f1, -0.6, len(rows) - 0.65, color=QUIET, lw=1, ls="--", zorder=1)
    axes.set_xlim(left=start)
    axes.set_ylim(-0.6, len(rows) - 0.2)
    below = any(100 * entry.f1 < start for entry in table.entries)
    axes.set_xlabel(f"F1 in %\n{_KEY}" + (f", triangle: below {start}" if below else ""), color=QUIET, fontsize=9)
    axes.text(100 * always.f1, len(rows) - 0.35, always.name, ha="center", va="center", color=QUIET, fontsize=9)
    for header, x in _COLUMNS.items():
        label = header.lower() if header in ("Modalities", "Rank") else header
        _text(axes, x, len(rows) - 0.35, label, color=QUIET)


def _extra_width(table: RankedTable) -> float:
    """Return the inches by which the longest name is wider than the column of names."""
    names = [tables.display_name(entry, table.methods) for entry in table.entries]
    return max(0.0, max(style.text_width(name, _FONT_SIZE) for name in names) - _NAME_WIDTH)


def _lower_limit(table: RankedTable, always: Entry) -> int:
    """Return the lower x-limit. The plot shows positions, not bar lengths, so it need not start at 0."""
    seeds = [summary.f1_mean for row in (*table.methods, always) for summary in row.summaries]
    lows = [row.f1_interval.low for row in table.methods if row.f1_interval]
    return _STEP * math.floor(100 * min([*seeds, *lows]) / _STEP)


def _add_markers(axes: Axes, y: int, row: Entry, start: int) -> None:
    span = row.f1_interval
    if span is None:
        visible = 100 * row.f1 >= start
        axes.plot(max(start, 100 * row.f1), y, "o" if visible else "<", color=_BASELINE, ms=5, clip_on=False)
        return
    axes.hlines(y, 100 * span.low, 100 * span.high, color=_METHOD, lw=7, alpha=0.3)
    axes.plot(100 * row.f1, y, "|", color=_METHOD, ms=11, mew=2)
    seeds = [100 * summary.f1_mean for summary in row.summaries]
    axes.plot(seeds, [y] * len(seeds), "o", ms=5, mfc="none", mec=_METHOD, mew=1.1)


def _text(axes: Axes, x: float, y: float, text: str, *, align: str = "right", **options: Any) -> None:
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), ha=align, va="center", **options)
