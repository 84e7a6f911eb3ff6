"""A picture of one table of the leaderboard: F1 of each method with its interval over subjects."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util import atomic
from aubench.core.errors import UsageError
from aubench.leaderboard import tables
from aubench.leaderboard.build import ranked_tables
from aubench.leaderboard.entries import ALWAYS, Entry, RankedTable
from aubench.leaderboard.render import EMPTY
from aubench.metrics import intervals
from aubench.metrics.intervals import ConfidenceInterval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METHOD, _TRIVIAL, _QUIET, _GRID = "#0072B2", "#999999", "#666666", "#E3E3E3"
_NAME = -0.88
_COLUMNS = (("modalities", -0.43), ("F1", -0.33), ("rank", -0.245), ("AUC", -0.15), ("GFLOPs", -0.02))
"""Where texts stand, in widths of the plot to its right."""
_NUMBERS: dict[str, Callable[[Entry], float | None]] = {"F1": lambda row: row.f1, "AUC": lambda row: row.mean("auc")}
"""Columns whose best is bold, as on the pages."""
_KEY = "line: mean over seeds, circles: seeds, bar: 95 % interval over test subjects"
_STEP = 10
"""The axis begins at a multiple of so many percent."""
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": _QUIET,
    "xtick.color": _QUIET,
}


def plot(root: Path, protocol: str, out: Path) -> None:
    """Draw the first table of a protocol.

    Args:
        root: The leaderboard's folder.
        protocol: Its name.
        out: The PNG file to write.

    Raises:
        UsageError: There is no complete run of that protocol.
        RecordError: A record does not hold what it claims.
    """
    found = ranked_tables(root, protocol)
    if not found:
        raise UsageError(f"no complete run of protocol '{protocol}'", where=root)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    section = found[0]
    with mpl.rc_context({**mpl.rcParamsDefault, **_STYLE, "backend": "agg"}):
        height = 1.75 + 0.34 * len(section.entries)
        figure = Figure(figsize=(11, height), dpi=150)
        figure.subplots_adjust(left=0.46, right=0.97, bottom=0.85 / height, top=1 - 0.55 / height)
        _table(figure.add_subplot(), section, protocol)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    atomic.write_bytes(out, buffer.getvalue())


def _table(axes: Axes, section: RankedTable, protocol: str) -> None:
    rows = sorted(section.entries, key=lambda row: row.f1)
    spans = {id(row): intervals.f1_interval([kept.record.counts for kept in row.runs]) for row in section.methods}
    always = next(row for row in section.entries if row.name == ALWAYS)
    begin = _begin(section, always, spans.values())
    for place, row in enumerate(rows):
        _words(axes, place, row, section)
        _line(axes, place, row, spans.get(id(row)), begin)
    seeds = max(len(row.runs) for row in section.methods)
    axes.set_title(f"{protocol}: {section.dataset}, seeds: {seeds}", loc="left", x=_NAME, pad=14, fontsize=11)
    axes.set_yticks(range(len(rows)), labels=[""] * len(rows))
    axes.tick_params(length=0)
    axes.grid(axis="x", color=_GRID)
    axes.set_axisbelow(True)
    axes.vlines(100 * always.f1, -0.6, len(rows) - 0.65, color=_QUIET, lw=1, ls="--", zorder=1)
    axes.set_xlim(left=begin)
    axes.set_ylim(-0.6, len(rows) - 0.2)
    beyond = any(100 * row.f1 < begin for row in rows)
    axes.set_xlabel(f"F1 in %\n{_KEY}" + (f"; triangle: below {begin}" if beyond else ""), color=_QUIET, fontsize=9)
    axes.text(100 * always.f1, len(rows) - 0.35, always.name, ha="center", va="center", color=_QUIET, fontsize=9)
    for header, x in _COLUMNS:
        _text(axes, x, len(rows) - 0.35, header, color=_QUIET)


def _begin(section: RankedTable, always: Entry, spans: Iterable[ConfidenceInterval]) -> int:
    """Where the axis begins: below all that is ranked and always-positive. Nothing here is a length from 0."""
    seeds = [one.f1_mean for row in (*section.methods, always) for one in row.summaries]
    return _STEP * math.floor(100 * min([*seeds, *(span.low for span in spans)]) / _STEP)


def _words(axes: Axes, place: int, row: Entry, section: RankedTable) -> None:
    name = tables.display_name(row, section.methods)
    _text(axes, _NAME, place, name, align="left", color="black" if row.runs else _QUIET)
    for (header, x), value in zip(_COLUMNS, _cells(row), strict=True):
        best = bool(row.runs) and value == _best(header, section.methods)
        _text(axes, x, place, value, weight="bold" if best else "normal")


def _line(axes: Axes, place: int, row: Entry, span: ConfidenceInterval | None, begin: int) -> None:
    if span is None:
        inside = 100 * row.f1 >= begin
        axes.plot(max(begin, 100 * row.f1), place, "o" if inside else "<", color=_TRIVIAL, ms=5, clip_on=False)
        return
    axes.hlines(place, 100 * span.low, 100 * span.high, color=_METHOD, lw=7, alpha=0.3)
    axes.plot(100 * row.f1, place, "|", color=_METHOD, ms=11, mew=2)
    found = [100 * one.f1_mean for one in row.summaries]
    axes.plot(found, [place] * len(found), "o", ms=5, mfc="none", mec=_METHOD, mew=1.1)


def _cells(row: Entry) -> Sequence[str]:
    return (
        tables.modality_code(row.info.method.modalities) if row.runs else "",
        _percent(row.f1),
        "" if row.rank is None else str(row.rank),
        _percent(row.mean("auc")),
        f"{row.info.compute.total.flops / 1e9:.3f}" if row.runs else "",
    )


def _best(header: str, rows: Sequence[Entry]) -> str | None:
    """The best number of a column, as printed; None where a column has none."""
    if header not in _NUMBERS:
        return None
    values = [value for row in rows if (value := _NUMBERS[header](row)) is not None]
    return _percent(max(values)) if values else None


def _percent(value: float | None) -> str:
    return EMPTY if value is None else f"{100 * value:.1f}"


def _text(axes: Axes, x: float, y: float, text: str, *, align: str = "right", **style: Any) -> None:
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), ha=align, va="center", **style)
