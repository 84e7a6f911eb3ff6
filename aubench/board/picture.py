"""A picture of one table of the leaderboard: F1 of each method with its interval over subjects."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench import atomic
from aubench.board import tables
from aubench.board.build import sections_of
from aubench.board.rows import Row, Section
from aubench.errors import UsageError
from aubench.scores import intervals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METHOD, _TRIVIAL, _QUIET, _GRID = "#0072B2", "#999999", "#666666", "#E3E3E3"
_NAME = -0.82
_COLUMNS = (("modalities", -0.38), ("F1", -0.27), ("AUC", -0.15), ("GFLOPs", -0.02))
"""Where texts stand, in widths of the plot to its right."""
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": _QUIET,
    "xtick.color": _QUIET,
}


def draw(root: Path, protocol: str, out: Path) -> None:
    """Draw the first table of a protocol.

    Args:
        root: The leaderboard's folder.
        protocol: Its name.
        out: The PNG file to write.

    Raises:
        UsageError: There is no complete run of that protocol.
        RecordError: A record does not hold what it claims.
    """
    found = sections_of(root, protocol)
    if not found:
        raise UsageError(f"no complete run of protocol '{protocol}'", where=root)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    section = found[0]
    with mpl.rc_context({**mpl.rcParamsDefault, **_STYLE, "backend": "agg"}):
        height = 1.65 + 0.34 * len(section.rows)
        figure = Figure(figsize=(10, height), dpi=150)
        figure.subplots_adjust(left=0.45, right=0.97, bottom=0.75 / height, top=1 - 0.55 / height)
        _table(figure.add_subplot(), section, protocol)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    atomic.write_bytes(out, buffer.getvalue())


def _table(axes: Axes, section: Section, protocol: str) -> None:
    rows = sorted(section.rows, key=lambda row: row.f1)
    for place, row in enumerate(rows):
        _line(axes, place, row, tables.named(row, section.ranked))
    seeds = max(len(row.runs) for row in section.ranked)
    axes.set_title(f"{protocol}: {section.dataset}, seeds: {seeds}", loc="left", x=_NAME, pad=14, fontsize=11)
    axes.set_yticks(range(len(rows)), labels=[""] * len(rows))
    axes.tick_params(length=0)
    axes.grid(axis="x", color=_GRID)
    axes.set_axisbelow(True)
    axes.set_xlim(left=0)
    axes.set_ylim(-0.6, len(rows) - 0.2)
    axes.set_xlabel("F1 in %; bar: 95 % interval over test subjects, dots: seeds", color=_QUIET)
    for header, x in _COLUMNS:
        _text(axes, x, len(rows) - 0.35, header, color=_QUIET)


def _line(axes: Axes, place: int, row: Row, name: str) -> None:
    colour = _METHOD if row.runs else _TRIVIAL
    if row.runs:
        interval = intervals.f1_interval([kept.record.counts for kept in row.runs])
        axes.hlines(place, 100 * interval.low, 100 * interval.high, color=colour, lw=7, alpha=0.3)
    axes.plot([100 * one.f1_mean for one in row.summaries], [place] * len(row.summaries), "o", color=colour, ms=4)
    _text(axes, _NAME, place, name, align="left", color="black" if row.runs else _QUIET)
    for value, (_, x) in zip(_cells(row), _COLUMNS, strict=True):
        _text(axes, x, place, value, weight="bold" if row.place == 1 else "normal")


def _cells(row: Row) -> Sequence[str]:
    auc = row.mean("auc")
    return (
        tables.letters(row.info.method.modalities) if row.runs else "",
        f"{100 * row.f1:.1f}",
        tables.NOTHING if auc is None else f"{100 * auc:.1f}",
        f"{row.info.compute.total.flops / 1e9:.3f}" if row.runs else "",
    )


def _text(axes: Axes, x: float, y: float, text: str, *, align: str = "right", **style: Any) -> None:
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), ha=align, va="center", **style)
