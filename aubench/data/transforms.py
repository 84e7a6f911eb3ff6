"""Batched preprocessing of stored images: resize, crop, mirror, normalise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from aubench.core.landmarks import MIRRORED
from aubench.core.task import Modality
from aubench.data.loader import to_device

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    Stored = Mapping[Modality, UInt8[Tensor, "n *t h w c"]]


def resize(images: UInt8[Tensor, "n h w c"], size: int) -> Tensor:
    """Resize images to (N, size, size, C): unchanged uint8 if the size fits, otherwise float 0 to 255.

    Integer reduction averages, other factors interpolate.
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
    """Crops of the frames or clips of a batch.

    Attributes:
        size: Side in pixels to which images are resized first.
        crop: Side of the crop.
        top: First row, (N,).
        left: First column, (N,).
        mirrored: Whether the crop is mirrored, (N,).
    """

    size: int
    crop: int
    top: Tensor
    left: Tensor
    mirrored: Tensor

    def to(self, device: torch.device) -> CropParams:
        """Copy the parameters from the CPU to a device, in one copy for which nothing waits."""
        if device.type == "cpu":
            return self
        top, left, mirrored = to_device(torch.stack([self.top, self.left, self.mirrored.long()]), device)
        return replace(self, top=top, left=left, mirrored=mirrored > 0)


def random_crops(count: int, size: int, crop: int, *, flip: bool, generator: torch.Generator) -> CropParams:
    """Draw random crops, half of them mirrored.

    Args:
        count: N, frames or clips.
        size: Side in pixels to resize to first.
        crop: Side of the crop.
        flip: Whether to mirror.
        generator: CPU generator, which yields three numbers per frame or clip.
    """
    top, left = torch.randint(0, size - crop + 1, (2, count), generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    return CropParams(size, crop, top, left, mirrored & flip)


def random_crop_views(stored: Stored, windows: CropParams) -> dict[Modality, Tensor]:
    """Return the training views, with the same crop in all modalities of a frame or clip.

    Args:
        stored: Images by modality as stored, (N, H, W, C) or (N, T, H, W, C).
        windows: Crop of each frame or clip, on the device of the images.

    Returns:
        Float (N, C, crop, crop) or (N, T, C, crop, crop) in [-1, 1], in channels-last memory.
    """
    lead = next(iter(stored.values())).shape[:-3]
    each = math.prod(lead[1:])
    index = None if windows.top.device.type == "cpu" else pixel_index(windows, each)

    def view(images: Tensor) -> Tensor:
        resized = resize(images.flatten(0, -4), windows.size)
        cropped = copy_windows(resized, windows, each) if index is None else resized[index]
        views = normalize(cropped)
        return views.view(*lead, *views.shape[1:])

    return {m: view(images) for m, images in stored.items()}


def pixel_index(windows: CropParams, each: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of the pixels of crops in frames, (frames, rows, columns), as a GPU selects them.

    Args:
        windows: Crop of each frame or clip.
        each: Frames per crop.
    """
    device = windows.top.device
    along = torch.arange(windows.crop, device=device)
    across = torch.where(windows.mirrored[:, None], along.flip(0), along)
    rows = (windows.top[:, None] + along).repeat_interleave(each, 0)[:, :, None]
    columns = (windows.left[:, None] + across).repeat_interleave(each, 0)[:, None, :]
    return torch.arange(len(rows), device=device)[:, None, None], rows, columns


def copy_windows(images: Tensor, windows: CropParams, each: int) -> Tensor:
    """Return the same crops as :func:`pixel_index`, copied one after the other: a CPU needs a fifth of the time.

    Args:
        images: Frames (N, size, size, C).
        windows: Crop of each frame or clip.
        each: Frames per crop.

    Returns:
        (N, crop, crop, C).
    """
    crop = windows.crop
    crops = images.new_empty(len(images), crop, crop, images.shape[-1])
    places = zip(windows.top.tolist(), windows.left.tolist(), windows.mirrored.tolist(), strict=True)
    for target, frames, (top, left, mirrored) in zip(
        torch.split(crops, each), torch.split(images, each), places, strict=True
    ):
        window = frames[:, top : top + crop, left : left + crop]
        target.copy_(window.flip(2) if mirrored else window)
    return crops


def landmarks_in_views(landmarks: Float[Tensor, "n *t l 2"], windows: CropParams) -> Float[Tensor, "n *t l 2"]:
    """Convert the landmarks of stored images to their views; mirrored ones swap left and right.

    Args:
        landmarks: Columns and rows, 0 to 1 from edge to edge of the stored image.
        windows: Crop of each frame or clip, on the device of the landmarks.

    Returns:
        Columns and rows, -1 to 1 from edge to edge of the view, outside that range if not visible; NaN for NaN.
    """
    each = (-1, *[1] * (landmarks.ndim - 2))
    corner = torch.stack([windows.left, windows.top], 1).view(*each, 2)
    points = (landmarks * windows.size - corner) * (2 / windows.crop) - 1
    order, signs = _mirror(points.device)
    return torch.where(windows.mirrored.view(*each, 1), points.index_select(-2, order) * signs, points)


@lru_cache
def _mirror(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the order of mirrored landmarks, and the factors of their columns and rows."""
    return torch.tensor(MIRRORED, device=device), torch.tensor([-1.0, 1.0], device=device)


def center_crop(stored: Stored, size: int, crop: int) -> dict[Modality, Tensor]:
    """Return the evaluation views: the centre crop, in the format of :func:`random_crop_views`."""
    start = (size - crop) // 2
    window = slice(start, start + crop)

    def view(images: Tensor) -> Tensor:
        views = normalize(resize(images.flatten(0, -4), size)[:, window, window])
        return views.view(*images.shape[:-3], *views.shape[1:])

    return {m: view(images) for m, images in stored.items()}


def normalize(images: Tensor) -> Float[Tensor, "n c h w"]:
    """Convert values 0 to 255 to -1 to 1, channels second."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
