"""Videos as tubelets: cutting, masking, placing, and telling every frame from them (AU-vMAE §3.2, VideoMAE).

A clip's tubelets are (N, T', P, V): T' steps of time, P places of the grid row by row, V pixel values. A tube mask
chooses among the places, and is the same at every step.
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
"""Added to a patch's standard deviation."""


def tubelets(clips: Float[Tensor, "n t c h w"], depth: int, patch: int) -> Float[Tensor, "n steps places values"]:
    """Cut clips; within a tubelet, frame by frame and row by row, each pixel with its channels side by side.

    Args:
        clips: T is a multiple of ``depth``, height and width of ``patch``.
        depth: Frames of a tubelet.
        patch: Its side in pixels.
    """
    n, t, c, height, width = clips.shape
    steps, rows, columns = t // depth, height // patch, width // patch
    cut = clips.reshape(n, steps, depth, c, rows, patch, columns, patch).permute(0, 1, 4, 6, 2, 5, 7, 3)
    return cut.reshape(n, steps, rows * columns, depth * patch * patch * c)


def untubelets(
    cut: Float[Tensor, "n steps places values"], depth: int, patch: int, rows: int
) -> Float[Tensor, "n t c h w"]:
    """The clips that :func:`tubelets` cut.

    Args:
        cut: Of a grid.
        depth: Frames of a tubelet.
        patch: Its side in pixels.
        rows: Of the grid.
    """
    n, steps, places, values = cut.shape
    columns, c = places // rows, values // (depth * patch * patch)
    grid = cut.reshape(n, steps, rows, columns, depth, patch, patch, c).permute(0, 1, 4, 7, 2, 5, 3, 6)
    return grid.reshape(n, steps * depth, c, rows * patch, columns * patch)


def statistics(cut: Float[Tensor, "*n values"], channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each tubelet's channels.

    Args:
        cut: Tubelets, channels side by side.
        channels: How many.

    Returns:
        Both (..., values), repeated for every pixel.
    """
    pixels = cut.reshape(*cut.shape[:-1], -1, channels)
    deviation, mean = torch.std_mean(pixels, dim=-2, keepdim=True)
    return mean.expand_as(pixels).flatten(-2), (deviation + FLOOR).expand_as(pixels).flatten(-2)


def normalize_tubelets(cut: Float[Tensor, "*n values"], channels: int) -> Float[Tensor, "*n values"]:
    """What is to be reconstructed: every tubelet and channel with mean 0 and standard deviation 1."""
    mean, deviation = statistics(cut, channels)
    return (cut - mean) / deviation


def tubes(chances: Float[Tensor, "n places"], hidden: float) -> tuple[Int[Tensor, "n shown"], Int[Tensor, "n hidden"]]:
    """Tube masks: the places that are shown and those that are hidden.

    Args:
        chances: Uniform random numbers.
        hidden: Share of places; at least one is shown.
    """
    places = chances.shape[1]
    order = chances.argsort(1)
    shown = max(places - int(hidden * places), 1)
    return order[:, :shown].sort(1).values, order[:, shown:].sort(1).values


def at_places(tokens: Float[Tensor, "n steps places d"], places: Int[Tensor, "n k"]) -> Float[Tensor, "n steps k d"]:
    """The tokens of some places, at every step."""
    index = places[:, None, :, None].expand(-1, tokens.shape[1], -1, tokens.shape[3])
    return tokens.expand(len(places), -1, -1, -1).gather(2, index)


def fill_masked(
    tokens: Float[Tensor, "n steps places d"], places: Int[Tensor, "n k"], others: Float[Tensor, "n steps k d"]
) -> Float[Tensor, "n steps places d"]:
    """The tokens with others at some places, at every step."""
    return tokens.scatter(2, places[:, None, :, None].expand_as(others), others)


def positions(kind: Positions, steps: int, rows: int, width: int) -> Float[Tensor, "1 steps places width"]:
    """Fixed embeddings of a square grid's tubelets.

    Args:
        kind: ``line``, as VideoMAE: sine and cosine in turn, of a token's number in the whole clip. ``grid``: half of
            the width tells the step, the rest the column and the row.
        steps: Of time.
        rows: Of the grid, and columns.
        width: Of an embedding; even, a multiple of eight for a grid.
    """
    if kind == "line":
        line = sine_cosine_line(steps * rows**2, width)
        return line.reshape(-1, 2, width // 2).transpose(1, 2).reshape(1, steps, rows**2, width)
    time = sine_cosine_line(steps, width // 2)[:, None].expand(-1, rows**2, -1)
    space = sine_cosine_grid(rows, rows, width // 2).expand(steps, -1, -1)
    return torch.cat([time, space], 2)[None]


def over_frames(features: Float[Tensor, "n steps d"], frames: int) -> Float[Tensor, "n frames d"]:
    """Features for every frame, by linear interpolation in time; a step stands for the middle of its frames."""
    spread: Tensor = functional.interpolate(features.mT, frames, mode="linear", align_corners=False)
    return spread.mT
