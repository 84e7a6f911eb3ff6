"""Images side by side: a row for each frame, columns in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aubench.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

Box = tuple[int, int, int, int]
"""First column, first row, width and height in pixels."""

_GAP, _BETWEEN, _LEFT, _TOP, _MARGIN = 0.05, 0.25, 0.85, 0.95, 0.12
_SIDE, _LARGE, _FEW = 1.0, 1.45, 5
_MARK = "#FFD400"


@dataclass(frozen=True)
class Column:
    """The images of one kind.

    Attributes:
        title: Stands above.
        images: (rows, H, W, 3) in [0, 1].
        boxes: Drawn upon each image; None where there is nothing to mark.
    """

    title: str
    images: npt.NDArray[np.float32]
    boxes: tuple[Box | None, ...] = ()


@dataclass(frozen=True)
class Block:
    """Columns that belong together."""

    title: str
    columns: tuple[Column, ...]


def pixels(images: Tensor) -> npt.NDArray[np.float32]:
    """What is drawn of images (N, C, H, W) in [-1, 1]: (N, H, W, 3) in [0, 1], beyond it clipped."""
    shown: npt.NDArray[np.float32] = (
        ((images.detach().float().cpu() + 1) / 2).clamp(0, 1).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    )
    return shown


def plot(blocks: Sequence[Block], rows: Sequence[str], title: str, words: Sequence[str]) -> Figure:
    """Hang images side by side.

    Args:
        blocks: From left to right, each with as many images a column as there are rows.
        rows: What each row shows.
        title: Of the figure.
        words: What it is of.
    """
    from matplotlib.figure import Figure

    side = _LARGE if sum(len(block.columns) for block in blocks) <= _FEW else _SIDE
    lefts = _lefts(blocks, side)
    width, height = lefts[-1][-1] + side + _MARGIN, _TOP + len(rows) * (side + _GAP) + _MARGIN
    with style.styled():
        figure = Figure(figsize=(width, height))
        style.set_title(figure, title, words)
        for block, places in zip(blocks, lefts, strict=True):
            _head(figure, places[0], 0.28, block.title, style.INK)
            for column, left in zip(block.columns, places, strict=True):
                _head(figure, left, 0.08, column.title, style.QUIET)
                _hang(figure, column, left, side)
        for i, name in enumerate(rows):
            middle = height - _TOP - (i + 0.5) * (side + _GAP)
            figure.text(0.1 / width, middle / height, name, va="center", fontsize=8, color=style.QUIET)
    return figure


def _lefts(blocks: Sequence[Block], side: float) -> list[list[float]]:
    """Where each column begins, in inches."""
    found, left = [], _LEFT
    for block in blocks:
        found.append([left + i * (side + _GAP) for i in range(len(block.columns))])
        left = found[-1][-1] + side + _BETWEEN
    return found


def _head(figure: Figure, left: float, above: float, text: str, colour: str) -> None:
    width, height = figure.get_size_inches()
    bottom = height - _TOP + above
    figure.text(left / width, bottom / height, text, va="baseline", fontsize=9, color=colour)


def _hang(figure: Figure, column: Column, left: float, side: float) -> None:
    from matplotlib.patches import Rectangle

    width, height = figure.get_size_inches()
    boxes = column.boxes or (None,) * len(column.images)
    for i, (image, box) in enumerate(zip(column.images, boxes, strict=True)):
        bottom = height - _TOP - i * (side + _GAP) - side
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        axes.set_axis_off()
        axes.imshow(image, interpolation="nearest", vmin=0, vmax=1)
        if box is not None:
            corner = (box[0] - 0.5, box[1] - 0.5)
            axes.add_patch(Rectangle(corner, box[2], box[3], fill=False, edgecolor=_MARK, linewidth=1.2))
