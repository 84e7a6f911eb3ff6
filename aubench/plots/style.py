"""Colours, fonts, titles and file formats shared by all figures.

Figures need no display and use fonts shipped with matplotlib. Equal figures give equal bytes.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util import atomic
from aubench._util.output_paths import check_output_file
from aubench.core import hashing
from aubench.core.errors import UsageError
from aubench.core.task import Modality
from aubench.metrics import baselines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, GRID = "#222222", "#666666", "#E3E3E3"
BY_MODALITY = {Modality.VISUAL: "#0072B2", Modality.DEPTH: "#D55E00", Modality.THERMAL: "#009E73"}
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F4F24", "#6A4C93")
PALETTE = (
    *LINES,
    *("#47D685", "#0A4714", "#70003D", "#003385", "#EB99FF", "#1F7000"),
    *("#B83D70", "#7A7AEB", "#FF9999", "#857A00", "#145C66", "#8FAD00"),
)
"""Colours of methods, chosen greedily for a large minimum distance in OKLab."""
DASHES = ("-", "--", ":")
"""Styles of lines with one colour."""
_PALETTE_SEED = 360
"""Seed of the hash of names, chosen so that few names share a colour."""
SUFFIXES = (".png", ".svg")

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "svg.hashsalt": "aubench",
}
LEGEND_COLUMNS = 4
"""Most columns of a legend of methods."""
_LEGEND_SIZE = 9
"""Font size of legends in points."""
_TITLE_SIZE, _SUBTITLE_SIZE = 12, 9
"""Font sizes in points."""
_TITLE_LINE, _SUBTITLE_LINE = 0.2, 0.15
"""Heights of lines in inches."""
_TITLE_WIDTH = 0.98
"""Largest width of a title, relative to that of its figure."""
_SEPARATOR = " · "
_HINTING = 1.02
"""Largest width of a text in pixels, relative to that of its outlines."""
_HANDLE = 5
"""Width of the line and the spaces of a column of a legend, in font sizes."""
_METADATA = {".png": {"Software": None}, ".svg": {"Date": None}}


def make_figure(width: float, height: float) -> Figure:
    """Create an empty figure of a size in inches with constrained layout."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(rect=(0.005, 0.01, 0.985, 0.98)))


def styled() -> AbstractContextManager[None]:
    """Return a context in which figures have the shared style."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def set_title(figure: Figure, title: str, subtitle: Sequence[str]) -> None:
    """Set the title and the parts of the subtitle at the top of a figure.

    Lines wider than the figure are wrapped, and make it higher.
    """
    width = figure.get_figwidth() * _TITLE_WIDTH
    titles = _wrap(title.split(" "), " ", _TITLE_SIZE, width, "bold")
    subtitles = _subtitle_lines(subtitle, width)
    further = (_TITLE_LINE * (len(titles) - 1), _SUBTITLE_LINE * (len(subtitles) - 1))
    height = figure.get_figheight() + sum(further)
    figure.set_figheight(height)
    position = {} if figure.get_layout_engine() else {"y": 1 - 0.05 / height}
    text, bottom = "\n".join(titles), "\n" * len(subtitles)
    figure.suptitle(
        f"{text}{bottom}", x=0.01, ha="left", fontsize=_TITLE_SIZE, color=INK, fontweight="bold", **position
    )
    y = 1 - (0.315 + further[0] + further[1] / 2) / height
    figure.text(0.01, y, "\n".join(subtitles), ha="left", va="center", fontsize=_SUBTITLE_SIZE, color=QUIET)


def title_width(title: str, subtitle: Sequence[str]) -> float:
    """Return the width in inches of a figure whose title and subtitle have one line each."""
    widths = (text_width(title, _TITLE_SIZE, "bold"), text_width(_SEPARATOR.join(subtitle), _SUBTITLE_SIZE))
    return max(widths) / _TITLE_WIDTH


def _subtitle_lines(parts: Sequence[str], width: float) -> list[str]:
    """Return lines of complete parts; a part that is wider than a line is wrapped at its spaces."""
    lines = _wrap(parts, _SEPARATOR, _SUBTITLE_SIZE, width)
    return [line for wide in lines for line in _wrap(wide.split(" "), " ", _SUBTITLE_SIZE, width)]


def _wrap(parts: Sequence[str], separator: str, size: float, width: float, weight: str = "normal") -> list[str]:
    """Join parts to lines that are at most as wide as given in inches, unless a single part is wider."""
    lines = list(parts[:1]) or [""]
    for part in parts[1:]:
        joined = f"{lines[-1]}{separator}{part}"
        if text_width(joined, size, weight) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def colours(names: Sequence[str]) -> list[tuple[str, int]]:
    """Return the colour of each method of a figure, by a hash of its name.

    Methods of one figure have different colours as long as there are enough: of methods with the same hash, those later
    in the alphabet get the next free colours.

    Args:
        names: Names of methods, or display names that begin with one: ``amf (tiny, tuned)``.

    Returns:
        The colour and the number of earlier names with it, for another means to distinguish these.
    """
    methods = [name.partition(" ")[0] for name in names]
    slots: dict[str, int] = {}
    for method in sorted(set(methods)):
        slot = int(hashing.hash_json([_PALETTE_SEED, method])[:8], 16) % len(PALETTE)
        while slot in slots.values() and len(slots) < len(PALETTE):
            slot = (slot + 1) % len(PALETTE)
        slots[method] = slot
    used = [slots[method] for method in methods]
    return [(PALETTE[slot], used[:i].count(slot)) for i, slot in enumerate(used)]


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of a line of text in inches, at a font size in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    path = TextPath((0, 0), text, size=size, prop=FontProperties(family=_STYLE["font.family"], weight=weight))
    x = path.vertices[path.codes != path.CLOSEPOLY, 0]  # outlines have a point at each extremum
    return _HINTING * float(x.max() - x.min()) / 72


def baseline(axes: Axes, f1: float | None) -> None:
    """Draw a line in % at F1 (0 to 1) of the always-positive baseline, or nothing if it is unknown."""
    if f1 is not None:
        axes.axhline(100 * f1, color=INK, linestyle=(0, (5, 3)), linewidth=1, zorder=2.5, label=baselines.ALWAYS)


def legend_columns(labels: Sequence[str], width: float, most: int = LEGEND_COLUMNS) -> tuple[int, float]:
    """Return the number of columns of a legend below a figure, and the width of the figure in inches that it needs.

    Args:
        labels: Texts of the legend.
        width: Width of the figure in inches.
        most: Largest number of columns.
    """
    column = max(text_width(label, _LEGEND_SIZE) for label in labels) + _LEGEND_SIZE * _HANDLE / 72
    return max(1, min(most, len(labels), int(width / column))), max(width, column)


def legend(figure: Figure, axes: Axes, columns: int = 6) -> None:
    """Add the legend of ``axes`` below a figure."""
    handles, labels = axes.get_legend_handles_labels()
    add_legend(figure, handles, labels, legend_columns(labels, figure.get_figwidth(), columns)[0])


def add_legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int) -> None:
    """Add a legend below a figure."""
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=_LEGEND_SIZE)


def check(path: Path) -> None:
    """Check that figures can be written to a path.

    Raises:
        UsageError: The name ends neither in ``.png`` nor in ``.svg``, or the path is a folder.
        DataError: The folder cannot be written.
    """
    _check_ending(path)
    check_output_file(path)


def _check_ending(path: Path) -> None:
    if not path.suffix:
        raise UsageError("has no ending", where=path, hint=f"use {' or '.join(SUFFIXES)}")
    if path.suffix not in SUFFIXES:
        raise UsageError(f"cannot be a '{path.suffix}' file", where=path, hint=f"known: {', '.join(SUFFIXES)}")


def save(figure: Figure, path: Path, **options: Any) -> Path:
    """Write a figure atomically in the format of the path's suffix, with further options of ``Figure.savefig``.

    Raises:
        UsageError: The name ends neither in ``.png`` nor in ``.svg``.
    """
    _check_ending(path)
    content = io.BytesIO()
    with styled():
        figure.savefig(content, format=path.suffix[1:], metadata=_METADATA[path.suffix], **{"dpi": 150, **options})
    atomic.write_bytes(path, content.getvalue())
    return path
