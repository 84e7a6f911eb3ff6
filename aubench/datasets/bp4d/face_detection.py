"""Face tracks from the Haar detector of OpenCV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from aubench.datasets.bp4d.images import Photo

SHORTER_SIDE = 200
"""Shorter side in pixels to which photos may be reduced; the smallest face is then 50 pixels wide."""

_SMALLEST = (0.45, 0.33, 0.25)  # of the shorter side, in this order: a search for small faces takes longest
_UNBIASED = 1.4  # times the smallest size searched for, from which on a box averages over all sizes that fit
_SIDE, _DOWN = 1.12, 0.04  # from the detector's box to forehead and chin, in box widths
_FAR, _OTHER = 0.4, 1.5  # tolerances of the distance to the reference (in box widths) and of the width (factor)


@cache
def _detector() -> cv2.CascadeClassifier:
    cv2.setNumThreads(1)
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"))


def detect(photo: Photo) -> np.ndarray:
    """Detect the faces of a photo: the large ones if there are any, otherwise smaller ones.

    Returns:
        (n, 3): centre column, centre row and width of each box, in pixels of the photo; n may be 0.

    Raises:
        DataError: The photo cannot be decoded.
    """
    image, factor = photo.decode_grey(SHORTER_SIDE)
    boxes: Sequence[Sequence[int]] = ()
    for share in _SMALLEST:
        smallest = int(share * min(image.shape))
        boxes = _detector().detectMultiScale(image, scaleFactor=1.1, minNeighbors=4, minSize=(smallest, smallest))
        if len(boxes) and max(box[2] for box in boxes) >= _UNBIASED * smallest:
            break
    left, top, width, height = np.array(boxes, np.float64).reshape(-1, 4).T
    return np.stack([left + width / 2, top + height / 2, width], axis=1) * factor


def track(photos: Iterable[Photo]) -> np.ndarray:
    """Track the face of a sequence.

    The median over the largest box of each photo is the reference. Each photo contributes the box nearest to it,
    unless that box is beyond the tolerance, to reject false detections in the background.

    Args:
        photos: In order of time.

    Returns:
        (F, 4) squares from forehead to chin, NaN without a face.

    Raises:
        DataError: A photo cannot be decoded.
    """
    detections = [detect(photo) for photo in photos]
    squares = np.full((len(detections), 4), np.nan)
    largest = [boxes[boxes[:, 2].argmax()] for boxes in detections if len(boxes)]
    if not largest:
        return squares
    reference = np.median(largest, axis=0)
    for square, boxes in zip(squares, detections, strict=True):
        near = [box for box in boxes if _is_near(box, reference)]
        if near:
            column, row, width = min(near, key=lambda box: float(np.linalg.norm(box - reference)))
            square[:] = column, row + _DOWN * width, _SIDE * width, 0
    return squares


def _is_near(box: np.ndarray, reference: np.ndarray) -> bool:
    distance = np.linalg.norm(box[:2] - reference[:2]) / reference[2]
    return bool(distance <= _FAR and 1 / _OTHER <= box[2] / reference[2] <= _OTHER)
