"""What all figures share: colours, fonts, titles, and how they become files.

Drawn without a display, with fonts that matplotlib brings along; equal figures give equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.errors import UsageError
from aubench.core.task import Modality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALWAYS = "always positive"
INK, QUIET, GRID = "#222222", "#666666", "#E3E3E3"
BY_MODALITY = {Modality.VISUAL: "#0072B2", Modality.DEPTH: "#D55E00", Modality.THERMAL: "#009E73"}
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F4F24", "#6A4C93")
BY_METHOD = {
    **dict(zip(("late_fusion", "cam", "amf", "mcm", "early_fusion", "mtut", "temt_net", "mft"), LINES, strict=True)),
    "resnet_visual": "#1B1B6F",
    "resnet_depth": "#8C8C00",
    "resnet_thermal": "#882255",
    "au_vmae": "#8CD17D",
}
"""The same in every figure."""
_OTHERS = ("#B2182B", "#35978F", "#E377C2", "#5A5A5A", "#B8A000", "#3B5BDB")
"""For methods from elsewhere, chosen by their names."""
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
_METADATA = {".png": {"Software": None}, ".svg": {"Date": None}}


def make_figure(width: float, height: float) -> Figure:
    """An empty figure that arranges its axes itself.

    Args:
        width: In inches.
        height: In inches.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(rect=(0.005, 0.01, 0.985, 0.98)))


def styled() -> AbstractContextManager[None]:
    """Everything within is drawn in the shared style."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def set_title(figure: Figure, title: str, words: Sequence[str]) -> None:
    """Say at the top what a figure shows, and of what."""
    height = figure.get_figheight()
    place = {} if figure.get_layout_engine() else {"y": 1 - 0.05 / height}
    figure.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=12, color=INK, fontweight="bold", **place)
    figure.text(0.01, 1 - 0.315 / height, " · ".join(words), ha="left", va="center", fontsize=9, color=QUIET)


def colours(names: Sequence[str]) -> list[tuple[str, int]]:
    """A colour for each method of a figure, the same in every figure.

    Args:
        names: Methods, or methods and what tells them from other rows: ``amf (tiny, tuned)``.

    Returns:
        The colour, and how many earlier names have it: these have to be told apart by something else.
    """
    found: list[tuple[str, int]] = []
    for name in names:
        method = name.partition(" ")[0]
        colour = BY_METHOD.get(method) or _OTHERS[int(hashing.hash_json(method)[:8], 16) % len(_OTHERS)]
        found.append((colour, sum(colour == other for other, _ in found)))
    return found


def baseline(axes: Axes, f1: float | None) -> None:
    """A line where answering "present" to everything stands; none where that is not known.

    Args:
        axes: With F1 in % from below upwards.
        f1: Of that answer, 0 to 1.
    """
    if f1 is not None:
        axes.axhline(100 * f1, color=INK, linestyle=(0, (5, 3)), linewidth=1, zorder=2.5, label=ALWAYS)


def check(path: Path) -> None:
    """Refuse a file whose kind cannot be drawn.

    Raises:
        UsageError: Its name ends neither in ``.png`` nor in ``.svg``.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"cannot be a '{path.suffix}' file", where=path, hint=f"known: {', '.join(SUFFIXES)}")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure atomically, as the kind of file that the name tells.

    Raises:
        UsageError: As :func:`check`.
    """
    check(path)
    content = io.BytesIO()
    with styled():
        figure.savefig(content, format=path.suffix[1:], dpi=150, metadata=_METADATA[path.suffix])
    atomic.write_bytes(path, content.getvalue())
    return path
