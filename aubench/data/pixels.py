"""From stored bytes to what a method sees: resize, crop, mirror, normalise, as batched tensor work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from aubench.task import Modality

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor

    Stored = Mapping[Modality, UInt8[Tensor, "n *t h w c"]]


def resized(images: UInt8[Tensor, "n h w c"], size: int) -> Tensor:
    """Images of another size (N, size, size, C): uint8 as they are where the size fits, else float 0 to 255.

    Shrinking averages, growing interpolates.
    """
    if images.shape[1] == size:
        return images
    planes = images.permute(0, 3, 1, 2).float()
    if images.shape[1] % size == 0:
        planes = functional.avg_pool2d(planes, images.shape[1] // size)
    else:
        planes = functional.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    return planes.permute(0, 2, 3, 1)


def random_views(
    stored: Stored, size: int, crop: int, *, flip: bool, generator: torch.Generator
) -> dict[Modality, Tensor]:
    """Training views: a random crop, mirrored half of the time, the same for all modalities of a frame or clip.

    Args:
        stored: Images by modality as the store holds them, (N, H, W, C) or (N, T, H, W, C).
        size: Side in pixels to resize to first.
        crop: Side of the crop.
        flip: Whether to mirror.
        generator: Lives on the CPU; three draws a frame or clip, whatever the modalities.

    Returns:
        Float (N, C, crop, crop) or (N, T, C, crop, crop) in [-1, 1], in channels-last memory.
    """
    first = next(iter(stored.values()))
    count, each, device = len(first), math.prod(first.shape[1:-3]), first.device
    top, left = torch.randint(0, size - crop + 1, (2, count), generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    along = torch.arange(crop)
    across = torch.where((mirrored & flip)[:, None], along.flip(0), along)
    rows = (top[:, None] + along).repeat_interleave(each, 0)[:, :, None].to(device)
    columns = (left[:, None] + across).repeat_interleave(each, 0)[:, None, :].to(device)
    frames = torch.arange(count * each, device=device)[:, None, None]

    def view(images: Tensor) -> Tensor:
        views = normalised(resized(images.flatten(0, -4), size)[frames, rows, columns])
        return views.view(*images.shape[:-3], *views.shape[1:])

    return {m: view(images) for m, images in stored.items()}


def centre_views(stored: Stored, size: int, crop: int) -> dict[Modality, Tensor]:
    """What is scored: the centre crop, as :func:`random_views` gives it."""
    at = (size - crop) // 2
    inside = slice(at, at + crop)

    def view(images: Tensor) -> Tensor:
        views = normalised(resized(images.flatten(0, -4), size)[:, inside, inside])
        return views.view(*images.shape[:-3], *views.shape[1:])

    return {m: view(images) for m, images in stored.items()}


def normalised(images: Tensor) -> Float[Tensor, "n c h w"]:
    """Values 0 to 255 as -1 to 1, channels second."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
