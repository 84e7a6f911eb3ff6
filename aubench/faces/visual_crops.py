"""Crops of the face from photos or frames of a video, read twice so that they are never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np

from aubench.core.task import Modality
from aubench.data.store_writer import Allocate
from aubench.faces import crops

DETECTED = "square from forehead to dropped chin, smoothed over the sequence: Haar detector and optical flow, upright"
ALIGNED = "square from forehead to dropped chin, smoothed over the sequence: 49 points, eyes level"


class ColourPicture(Protocol):
    """A photo or a frame of a video."""

    def decode_rgb(self) -> np.ndarray:
        """Return it as uint8 (H, W, 3), RGB."""


class VisualCrops(NamedTuple):
    """Crops of a sequence."""

    images: Any  # uint8 (F, size, size, 3), as ``allocate`` provides it
    squares: np.ndarray  # (F, 4) squares that were cropped
    columns: dict[str, np.ndarray]  # columns of the table that rate the crops


def crop_pictures(
    pictures: Callable[[], Iterable[ColourPicture]],
    track: np.ndarray,
    sources: np.ndarray,
    numbers: np.ndarray,
    size: int,
    allocate: Allocate,
) -> VisualCrops:
    """Crop the smoothed squares of a track.

    Args:
        pictures: Function that reads the F pictures in order of time.
        track: (F, 4) squares as detected, NaN without a face; at least one row holds numbers.
        sources: (F,) source of each square.
        numbers: (F,) ascending frame numbers.
        size: Height and width of the crops.
        allocate: Function that provides the array.
    """
    squares = crops.smooth_track(track, numbers)
    images = allocate(Modality.VISUAL, (len(numbers), size, size, 3), np.uint8)
    for i, (picture, square) in enumerate(zip(pictures(), squares, strict=True)):
        images[i] = crops.crop_square(picture.decode_rgb(), square, size)
    return VisualCrops(images, squares, crops.crop_columns(track, sources, squares, numbers))
