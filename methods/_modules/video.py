# Installed as aubench.methods._modules.video.
"""Tubelets of videos, their masks and position embeddings, and interpolation to frames (AU-vMAE §3.2, VideoMAE).

A clip's tubelets are (N, T', P, V): T' steps of time, P cells of the grid row by row, V pixel values. A tube mask
selects cells and is the same at every step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

from aubench.methods._modules.transformer import sine_cosine_grid, sine_cosine_line

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

Positions = Literal["line", "grid"]

FLOOR = 1e-6
"""Constant added to a patch's standard deviation."""


def tubelets(clips: Float[Tensor, "n t c h w"], depth: int, patch: int) -> Float[Tensor, "n steps cells values"]:
    """Cut clips into tubelets. Within a tubelet, pixels frame by frame and row by row, channels side by side.

    Args:
        clips: Clips. T is a multiple of ``depth``, height and width are multiples of ``patch``.
        depth: Frames of a tubelet.
        patch: Side of a tubelet in pixels.
    """
    n, t, c, height, width = clips.shape
    steps, rows, columns = t // depth, height // patch, width // patch
    cut = clips.reshape(n, steps, depth, c, rows, patch, columns, patch).permute(0, 1, 4, 6, 2, 5, 7, 3)
    return cut.reshape(n, steps, rows * columns, depth * patch * patch * c)


def untubelets(
    cut: Float[Tensor, "n steps cells values"], depth: int, patch: int, rows: int
) -> Float[Tensor, "n t c h w"]:
    """Reassemble the clips that :func:`tubelets` cut.

    Args:
        cut: Tubelets of a grid.
        depth: Frames of a tubelet.
        patch: Side of a tubelet in pixels.
        rows: Rows of the grid.
    """
    n, steps, cells, values = cut.shape
    columns, c = cells // rows, values // (depth * patch * patch)
    grid = cut.reshape(n, steps, rows, columns, depth, patch, patch, c).permute(0, 1, 4, 7, 2, 5, 3, 6)
    return grid.reshape(n, steps * depth, c, rows * patch, columns * patch)


def statistics(cut: Float[Tensor, "*n values"], channels: int) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation of each tubelet's channels.

    Args:
        cut: Tubelets, each pixel with its channels side by side.
        channels: Number of channels.

    Returns:
        Both (..., values), repeated for every pixel.
    """
    pixels = cut.reshape(*cut.shape[:-1], -1, channels)
    deviation, mean = torch.std_mean(pixels, dim=-2, keepdim=True)
    return mean.expand_as(pixels).flatten(-2), (deviation + FLOOR).expand_as(pixels).flatten(-2)


def normalize_tubelets(cut: Float[Tensor, "*n values"], channels: int) -> Float[Tensor, "*n values"]:
    """Normalise every tubelet and channel to mean 0 and standard deviation 1, the target of reconstruction."""
    mean, deviation = statistics(cut, channels)
    return (cut - mean) / deviation


def count_masked(cells: int, share: float) -> int:
    """Return the number of masked cells, so that at least one is visible."""
    return min(int(share * cells), cells - 1)


def tube_masks(
    scores: Float[Tensor, "n cells"], share: float
) -> tuple[Int[Tensor, "n visible"], Int[Tensor, "n masked"]]:
    """Return the visible and the masked cells of tube masks.

    Args:
        scores: Uniform random numbers. The cells with the smallest ones are visible.
        share: Share of masked cells. At least one cell is visible.
    """
    cells = scores.shape[1]
    order = scores.argsort(1)
    visible = cells - count_masked(cells, share)
    return order[:, :visible].sort(1).values, order[:, visible:].sort(1).values


def gather_cells(tokens: Float[Tensor, "n steps cells d"], cells: Int[Tensor, "n k"]) -> Float[Tensor, "n steps k d"]:
    """Return the tokens of ``cells`` at every step."""
    index = cells[:, None, :, None].expand(-1, tokens.shape[1], -1, tokens.shape[3])
    return tokens.expand(len(cells), -1, -1, -1).gather(2, index)


def fill_masked(
    tokens: Float[Tensor, "n steps cells d"], cells: Int[Tensor, "n k"], others: Float[Tensor, "n steps k d"]
) -> Float[Tensor, "n steps cells d"]:
    """Return ``tokens`` with those of ``cells`` replaced by ``others`` at every step."""
    return tokens.scatter(2, cells[:, None, :, None].expand_as(others), others)


def position_embeddings(kind: Positions, steps: int, rows: int, width: int) -> Float[Tensor, "1 steps cells width"]:
    """Return fixed embeddings of a square grid's tubelets.

    Args:
        kind: ``line``, as in VideoMAE: alternating sine and cosine of a token's index in the clip. ``grid``: half of
            the width encodes the step, the rest the column and the row.
        steps: Number of steps in time.
        rows: Number of rows and of columns of the grid.
        width: Width of an embedding: even, and a multiple of eight for a grid.
    """
    if kind == "line":
        line = sine_cosine_line(steps * rows**2, width)
        return line.reshape(-1, 2, width // 2).transpose(1, 2).reshape(1, steps, rows**2, width)
    time = sine_cosine_line(steps, width // 2)[:, None].expand(-1, rows**2, -1)
    space = sine_cosine_grid(rows, rows, width // 2).expand(steps, -1, -1)
    return torch.cat([time, space], 2)[None]


def interpolate_to_frames(features: Float[Tensor, "n steps d"], frames: int) -> Float[Tensor, "n frames d"]:
    """Interpolate features linearly in time to every frame. A step's time is the middle of its frames."""
    interpolated: Tensor = functional.interpolate(features.mT, frames, mode="linear", align_corners=False)
    return interpolated.mT
