"""Grids of images with a row per frame and columns in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aubench.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from aubench.core.task import Inputs

Box = tuple[int, int, int, int]
"""Left column, top row, width and height of a box in pixels."""

_GAP, _BETWEEN, _LEFT, _TOP, _MARGIN = 0.05, 0.25, 0.85, 0.95, 0.12
_SIDE, _LARGE, _FEW = 1.0, 1.45, 5
_MARK = "#FFD400"


@dataclass(frozen=True)
class Column:
    """Column of images of one kind.

    Attributes:
        title: Title of the column.
        images: Images (rows, H, W, 3) in [0, 1].
        boxes: Box drawn on each image, or None.
    """

    title: str
    images: npt.NDArray[np.float32]
    boxes: tuple[Box | None, ...] = ()


@dataclass(frozen=True)
class Block:
    """Group of columns with a title."""

    title: str
    columns: tuple[Column, ...]


def columns_of(images: Mapping[str, Tensor] | Inputs, title: str = "{}") -> tuple[Column, ...]:
    """Return a column for the images (N, C, H, W) in [-1, 1] of each name, which ``title`` contains as ``{}``."""
    return tuple(Column(title.format(name), pixels(x)) for name, x in images.items())


def pixels(images: Tensor) -> npt.NDArray[np.float32]:
    """Convert images (N, C, H, W) in [-1, 1] to pixels (N, H, W, 3) in [0, 1]. Values beyond are clipped.

    A single channel is repeated, and two are followed by their mean.
    """
    scaled = ((images.detach().float().cpu() + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    if scaled.shape[-1] == 2:
        scaled = np.concatenate([scaled, scaled.mean(-1, keepdims=True)], axis=-1)
    rgb: npt.NDArray[np.float32] = np.broadcast_to(scaled, (*scaled.shape[:3], 3))
    return rgb


def plot(blocks: Sequence[Block], rows: Sequence[str], title: str, subtitle: Sequence[str]) -> Figure:
    """Plot blocks of images from left to right, with one image per name of a row in each column."""
    from matplotlib.figure import Figure

    side = _LARGE if sum(len(block.columns) for block in blocks) <= _FEW else _SIDE
    lefts = _lefts(blocks, side)
    width = max(lefts[-1][-1] + side + _MARGIN, style.title_width(title, subtitle))
    height = _TOP + len(rows) * (side + _GAP) + _MARGIN
    with style.styled():
        figure = Figure(figsize=(width, height))
        style.set_title(figure, title, subtitle)
        for block, positions in zip(blocks, lefts, strict=True):
            _add_header(figure, positions[0], 0.28, block.title, style.INK)
            for column, left in zip(block.columns, positions, strict=True):
                _add_header(figure, left, 0.08, column.title, style.QUIET)
                _add_images(figure, column, left, side)
        for i, name in enumerate(rows):
            middle = height - _TOP - (i + 0.5) * (side + _GAP)
            figure.text(0.1 / width, middle / height, name, va="center", fontsize=8, color=style.QUIET)
    return figure


def _lefts(blocks: Sequence[Block], side: float) -> list[list[float]]:
    """Return the left edge of each column in inches."""
    lefts, left = [], _LEFT
    for block in blocks:
        lefts.append([left + i * (side + _GAP) for i in range(len(block.columns))])
        left = lefts[-1][-1] + side + _BETWEEN
    return lefts


def _add_header(figure: Figure, left: float, above: float, text: str, colour: str) -> None:
    width, height = figure.get_size_inches()
    bottom = height - _TOP + above
    figure.text(left / width, bottom / height, text, va="baseline", fontsize=9, color=colour)


def _add_images(figure: Figure, column: Column, left: float, side: float) -> None:
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
