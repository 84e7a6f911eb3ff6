"""From where the face is in each photo to a crop that follows it without trembling.

A *square* is four numbers: centre column, centre row, side (pixels of the photo, first pixel from 0 to 1)
and angle (radians, clockwise). A track is one square a frame, float64 (F, 4), NaN where no face was found.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

_OUTLIERS = 5  # frames of the median that takes out single wrong finds
_MOTION = 2.0  # frames (standard deviation): a head turns within half a second
_SHAPE = 8.0  # side and angle change more slowly than place


def steady(track: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Fill the gaps of a track from their neighbours in time and smooth it.

    Args:
        track: (F, 4) squares, NaN where no face was found; at least one was.
        frames: (F,) ascending frame numbers.

    Returns:
        (F, 4) without NaN.
    """
    found = ~np.isnan(track[:, 0])
    filled = np.stack([np.interp(frames, frames[found], column[found]) for column in track.T], axis=1)
    calm = median_filter(filled, size=(min(_OUTLIERS, len(filled)), 1), mode="nearest")
    place = gaussian_filter1d(calm[:, :2], _MOTION, axis=0, mode="nearest")
    shape = gaussian_filter1d(calm[:, 2:], _SHAPE, axis=0, mode="nearest")
    return np.concatenate([place, shape], axis=1)


def to_crop(square: np.ndarray, size: int) -> np.ndarray:
    """The similarity transform that takes a square of the photo to the whole crop.

    Args:
        square: (4,) centre column, centre row, side, angle.
        size: Height and width of the crop.

    Returns:
        (2, 3): continuous photo coordinates (column, row, 1) to continuous crop coordinates.
    """
    column, row, side, angle = square
    cosine, sine = np.cos(angle) * size / side, np.sin(angle) * size / side
    turn = np.array([[cosine, sine], [-sine, cosine]])
    shift = size / 2 - turn @ [column, row]
    return np.column_stack([turn, shift])


def cut(image: np.ndarray, square: np.ndarray, size: int) -> np.ndarray:
    """Cut a square out of a photo and bring it to size.

    Args:
        image: uint8 (H, W, C).
        square: (4,), see above; what lies outside the photo becomes black.
        size: Height and width of the crop.

    Returns:
        uint8 (size, size, C).
    """
    turn = to_crop(square, size)
    height, width = image.shape[:2]
    ratio = size / square[2]
    if ratio < 1:  # averaging first: a warp alone would skip pixels
        smaller = max(round(width * ratio), 1), max(round(height * ratio), 1)
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        turn[:, :2] *= [width / smaller[0], height / smaller[1]]
    # cv2 counts from pixel centres, squares from pixel edges.
    turn[:, 2] += turn[:, :2] @ [0.5, 0.5] - 0.5
    cropped = cv2.warpAffine(image, turn, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(cropped)
