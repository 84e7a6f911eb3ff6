"""Where the face is, by the Haar detector that OpenCV ships."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from aubench.datasets.bp4d.images import Photo

SHORTER_SIDE = 200
"""The detector looks at photos at least this small: the smallest face is then 50 pixels wide."""

_SMALLEST = 0.25  # of the shorter side
_SIDE, _DOWN = 1.12, 0.04  # from the detector's box to forehead and chin, in box widths
_FAR, _OTHER = 0.4, 1.5  # off the usual place (in box widths), off the usual width (factor)


@cache
def _detector() -> cv2.CascadeClassifier:
    cv2.setNumThreads(1)
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"))


def detect(photo: Photo) -> np.ndarray:
    """All faces that the detector sees.

    Returns:
        (n, 3): centre column, centre row and width of each box, in pixels of the photo; n may be 0.

    Raises:
        DataError: The photo cannot be decoded.
    """
    image, factor = photo.grey(SHORTER_SIDE)
    smallest = int(_SMALLEST * min(image.shape))
    boxes = _detector().detectMultiScale(image, scaleFactor=1.1, minNeighbors=4, minSize=(smallest, smallest))
    left, top, width, height = np.array(boxes, np.float64).reshape(-1, 4).T
    return np.stack([left + width / 2, top + height / 2, width], axis=1) * factor


def track(photos: Iterable[Photo]) -> np.ndarray:
    """Follow the one person of a sequence.

    The largest box of each photo votes for the usual place and width; in each photo the box nearest to these
    is taken, and none where even that is far off, so that a pattern on the wall does not become a face.

    Args:
        photos: In order of time.

    Returns:
        (F, 4) squares from forehead to chin, NaN where no face was found.

    Raises:
        DataError: A photo cannot be decoded.
    """
    found = [detect(photo) for photo in photos]
    squares = np.full((len(found), 4), np.nan)
    largest = [boxes[boxes[:, 2].argmax()] for boxes in found if len(boxes)]
    if not largest:
        return squares
    usual = np.median(largest, axis=0)
    for square, boxes in zip(squares, found, strict=True):
        near = [box for box in boxes if _is_near(box, usual)]
        if near:
            column, row, width = min(near, key=lambda box: float(np.linalg.norm(box - usual)))
            square[:] = column, row + _DOWN * width, _SIDE * width, 0
    return squares


def _is_near(box: np.ndarray, usual: np.ndarray) -> bool:
    off = np.linalg.norm(box[:2] - usual[:2]) / usual[2]
    return bool(off <= _FAR and 1 / _OTHER <= box[2] / usual[2] <= _OTHER)
