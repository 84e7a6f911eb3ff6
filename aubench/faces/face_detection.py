"""Face tracks from the Haar detector of OpenCV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

SHORTER_SIDE = 200
"""Shorter side in pixels to which photos may be reduced; the smallest face is then 50 pixels wide."""

_SMALLEST = (0.45, 0.33, 0.25)  # of the shorter side, in this order: a search for small faces takes longest
_UNBIASED = 1.4  # times the smallest size searched for, from which on a box averages over all sizes that fit
# From a detector's box to the square around the face, in box widths: side, and down to its middle. The chin with a
# dropped jaw is 0.83 widths below the middle of a frontal box.
_FRONTAL, _PROFILE = (1.40, 0.16), (1.19, 0.15)
_STEP, _JUMP = 4.0, 10.0  # cost of a move by one side from one photo to the next; greatest cost of a move
_FLOW_GAIN, _PROFILE_GAIN = 0.5, 0.3  # of a square that optical flow moved, and of a turned head
_MIDDLE, _FEWEST = 0.33, 12  # of the square whose points are followed; smallest number of points
_EAR = 0.75  # of the size of the last face, up to which a detection is an ear or another face
_LARGEST = 2.0  # times the usual side, from which on a square is no face


class Picture(Protocol):
    """A photo or a frame of a video."""

    def decode_grey(self, smallest: int) -> tuple[np.ndarray, int]:
        """Return it in grey, uint8 (h, w), reduced by a whole factor while ``smallest`` pixels remain, and the factor.

        Raises:
            DataError: It cannot be decoded.
        """


class _Decoded(NamedTuple):
    """A picture in grey, which is decoded once for all detectors and for optical flow."""

    image: np.ndarray
    factor: int

    @staticmethod
    def of(photo: Picture) -> _Decoded:
        return _Decoded(*photo.decode_grey(SHORTER_SIDE))

    def decode_grey(self, smallest: int) -> tuple[np.ndarray, int]:
        return self.image, self.factor


@cache
def _detector(name: str = "frontalface_alt2") -> cv2.CascadeClassifier:
    cv2.setNumThreads(1)
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / f"haarcascade_{name}.xml"))


def detect(photo: Picture) -> np.ndarray:
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


def detect_profiles(photo: Picture) -> np.ndarray:
    """Detect heads that are turned to either side, as :func:`detect` returns faces."""
    image, factor = photo.decode_grey(SHORTER_SIDE)
    smallest = int(_SMALLEST[1] * min(image.shape))
    profiles = [np.empty((0, 3))]
    for mirrored in (False, True):
        view = np.ascontiguousarray(image[:, ::-1]) if mirrored else image
        boxes = _detector("profileface").detectMultiScale(view, 1.1, minNeighbors=4, minSize=(smallest, smallest))
        left, top, width, height = np.array(boxes, np.float64).reshape(-1, 4).T
        column = left + width / 2
        column = view.shape[1] - column if mirrored else column
        profiles.append(np.stack([column, top + height / 2, width], axis=1) * factor)
    return np.concatenate(profiles)


def _squares(boxes: np.ndarray, side: float, down: float) -> np.ndarray:
    """Return the squares (n, 4) around the faces of boxes."""
    column, row, width = boxes.T
    return np.stack([column, row + down * width, side * width, np.zeros(len(boxes))], axis=1)


def detect_squares(photo: Picture) -> np.ndarray:
    """Detect frontal faces of a photo, or turned heads if there are none.

    Returns:
        (n, 4) squares that hold face and chin; n may be 0.

    Raises:
        DataError: The photo cannot be decoded.
    """
    photo = _Decoded.of(photo)
    squares = _squares(detect(photo), *_FRONTAL)
    return squares if len(squares) else _squares(detect_profiles(photo), *_PROFILE)


def follow_face(photos: Iterable[Picture]) -> tuple[np.ndarray, np.ndarray]:
    """Track the face of a sequence of photos in order of time.

    Squares of one photo are moved to the next by optical flow where that has no detection. The track is the chain of
    squares, at most one a photo, with the greatest sum of sizes less the cost of its moves. A false detection in the
    background is therefore left out, and a face that moves aside is followed. Ears are left out because they are
    smaller than the face.

    Returns:
        (F, 4) squares that hold face and chin, NaN without a face, and (F,) sources: ``detector``, ``flow`` or an
        empty string.

    Raises:
        DataError: A photo cannot be decoded.
    """
    candidates, gains, last = [], [], None
    for photo in map(_Decoded.of, photos):
        squares = _squares(detect(photo), *_FRONTAL)
        gain = np.ones(len(squares))
        if last is not None and not _has_face(squares, last[1]):
            moved = _move(last[0], photo, last[1])
            squares, gain = np.concatenate([squares, moved]), np.append(gain, np.full(len(moved), _FLOW_GAIN))
        if not len(squares):
            squares = _squares(detect_profiles(photo), *_PROFILE)
            gain = np.full(len(squares), _PROFILE_GAIN)
        if len(squares) and (last is None or _has_face(squares, last[1])):
            last = photo, squares
        candidates.append(squares)
        gains.append(gain)
    track, sources = np.full((len(candidates), 4), np.nan), np.full(len(candidates), "", "U8")
    if any(map(len, candidates)):
        rows = np.repeat(np.arange(len(candidates)), [len(squares) for squares in candidates])
        squares, gain_of = np.concatenate(candidates), np.concatenate(gains)
        largest = np.array([squares[:, 2].max() for squares in candidates if len(squares)])
        usual = np.median(largest)
        size = np.quantile(largest[largest <= _LARGEST * usual], 0.8)  # ears may be more frequent than the face
        face = (squares[:, 2] >= _EAR * size) & (squares[:, 2] <= _LARGEST * usual)
        rows, squares, gain_of = rows[face], squares[face], gain_of[face]
        chain = _best_chain(rows, squares, gain_of * np.square(squares[:, 2] / usual))
        track[rows[chain]] = squares[chain]
        sources[rows[chain]] = np.where(gain_of[chain] == _FLOW_GAIN, "flow", "detector")
    return track, sources


def _has_face(squares: np.ndarray, before: np.ndarray) -> bool:
    """Return whether a photo has a detection that is not much smaller than those of a photo before."""
    return bool(len(squares)) and bool(squares[:, 2].max() > _EAR * before[:, 2].max())


def _move(before: Picture, after: Picture, squares: np.ndarray) -> np.ndarray:
    """Move the squares of a photo to a later one by optical flow; those that cannot be followed are left out."""
    (image, factor), (later, _) = (photo.decode_grey(SHORTER_SIDE) for photo in (before, after))
    moved = []
    for square in squares if image.shape == later.shape else ():
        column, row, side = square[:3] / factor
        middle = np.zeros_like(image)
        cv2.circle(middle, (round(column), round(row)), round(_MIDDLE * side), 255, -1)
        points = cv2.goodFeaturesToTrack(image, 80, 0.01, 3, mask=middle)
        if points is None or len(points) < _FEWEST:
            continue
        there, _, _ = cv2.calcOpticalFlowPyrLK(image, later, points, np.empty_like(points))
        back, _, _ = cv2.calcOpticalFlowPyrLK(later, image, there, np.empty_like(points))
        good = np.abs(back - points).max(axis=(1, 2)) < 1
        if good.sum() < _FEWEST:
            continue
        moved.append(square + np.append(np.median((there - points)[good], axis=(0, 1)) * factor, [0, 0]))
    return np.array(moved).reshape(-1, 4)


def _best_chain(rows: np.ndarray, squares: np.ndarray, gains: np.ndarray) -> list[int]:
    """Return the chain of squares, in ascending rows, with the greatest sum of gains less the costs of its moves.

    No move costs more than ``_JUMP``, so the best one begins at a total that is at most ``_JUMP`` below the greatest.
    """
    totals, previous = gains.copy(), np.full(len(gains), -1)
    near, seen = np.empty(0, np.intp), 0  # earlier squares of such totals
    for i in range(1, len(rows)):
        before = int(np.searchsorted(rows, rows[i]))
        if before > seen:
            near, seen = np.append(near, np.arange(seen, before)), before
            near = near[totals[near] >= totals[near].max() - _JUMP]
        if not before:
            continue
        costs = _move_costs(squares[near], rows[near], squares[i], rows[i])
        values = totals[near] - costs
        best = int(values.argmax())
        if totals[near[best]] > costs[best]:
            totals[i] += values[best]
            previous[i] = near[best]
    chain, at = [], int(totals.argmax())
    while at >= 0:
        chain.append(at)
        at = int(previous[at])
    return chain[::-1]


def _move_costs(squares: np.ndarray, rows: np.ndarray, square: np.ndarray, row: int) -> np.ndarray:
    """Return the costs of moves from earlier squares to a later one."""
    distances = np.hypot(*(squares[:, :2] - square[:2]).T) / square[2]
    moves = distances + np.abs(np.log(squares[:, 2] / square[2]))
    return np.asarray(np.minimum(_STEP * moves / np.sqrt(row - rows), _JUMP))
