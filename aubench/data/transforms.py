"""From stored bytes to what a method sees: resize, crop, mirror, normalise, as batched tensor work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from aubench.core.landmarks import MIRRORED
from aubench.core.task import Modality

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    Stored = Mapping[Modality, UInt8[Tensor, "n *t h w c"]]


def resize(images: UInt8[Tensor, "n h w c"], size: int) -> Tensor:
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


@dataclass(frozen=True)
class CropParams:
    """What part of its image each frame or clip of a batch shows.

    Attributes:
        size: Side in pixels that images are resized to first.
        crop: Side of the part.
        top: Its first row, (N,).
        left: Its first column, (N,).
        mirrored: Whether it is mirrored, (N,).
    """

    size: int
    crop: int
    top: Tensor
    left: Tensor
    mirrored: Tensor


def random_crops(count: int, size: int, crop: int, *, flip: bool, generator: torch.Generator) -> CropParams:
    """Crops at random, half of them mirrored.

    Args:
        count: N, frames or clips.
        size: Side in pixels to resize to first.
        crop: Side of the crop.
        flip: Whether to mirror.
        generator: Lives on the CPU; three draws a frame or clip.
    """
    top, left = torch.randint(0, size - crop + 1, (2, count), generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    return CropParams(size, crop, top, left, mirrored & flip)


def random_crop_views(stored: Stored, windows: CropParams) -> dict[Modality, Tensor]:
    """What is trained on, the same part in all modalities of a frame or clip.

    Args:
        stored: Images by modality as the store holds them, (N, H, W, C) or (N, T, H, W, C).
        windows: Of each frame or clip.

    Returns:
        Float (N, C, crop, crop) or (N, T, C, crop, crop) in [-1, 1], in channels-last memory.
    """
    first = next(iter(stored.values()))
    count, each, device = len(first), math.prod(first.shape[1:-3]), first.device
    along = torch.arange(windows.crop)
    across = torch.where(windows.mirrored[:, None], along.flip(0), along)
    rows = (windows.top[:, None] + along).repeat_interleave(each, 0)[:, :, None].to(device)
    columns = (windows.left[:, None] + across).repeat_interleave(each, 0)[:, None, :].to(device)
    frames = torch.arange(count * each, device=device)[:, None, None]

    def view(images: Tensor) -> Tensor:
        cut = normalize(resize(images.flatten(0, -4), windows.size)[frames, rows, columns])
        return cut.view(*images.shape[:-3], *cut.shape[1:])

    return {m: view(images) for m, images in stored.items()}


def landmarks_in_views(landmarks: Float[Tensor, "n *t l 2"], windows: CropParams) -> Float[Tensor, "n *t l 2"]:
    """Where the facial points of stored images are in their views; in a mirror, left and right change places.

    Args:
        landmarks: Columns and rows, 0 to 1 from edge to edge of the stored image.
        windows: Of each frame or clip.

    Returns:
        Columns and rows, -1 to 1 from edge to edge of the view, beyond where it does not show them; NaN stays NaN.
    """
    each = (-1, *[1] * (landmarks.ndim - 2))
    corner = torch.stack([windows.left, windows.top], 1).view(*each, 2).to(landmarks.device)
    placed = (landmarks * windows.size - corner) * (2 / windows.crop) - 1
    swapped = placed[..., MIRRORED, :] * placed.new_tensor([-1, 1])
    return torch.where(windows.mirrored.view(*each, 1).to(landmarks.device), swapped, placed)


def center_crop(stored: Stored, size: int, crop: int) -> dict[Modality, Tensor]:
    """What is scored: the centre crop, as :func:`views` gives it."""
    at = (size - crop) // 2
    inside = slice(at, at + crop)

    def view(images: Tensor) -> Tensor:
        views = normalize(resize(images.flatten(0, -4), size)[:, inside, inside])
        return views.view(*images.shape[:-3], *views.shape[1:])

    return {m: view(images) for m, images in stored.items()}


def normalize(images: Tensor) -> Float[Tensor, "n c h w"]:
    """Values 0 to 255 as -1 to 1, channels second."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
