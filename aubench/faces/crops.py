"""Smoothed face tracks, and the crops that they define.

A *square* is four numbers: centre column, centre row, side (pixels of the photo, first pixel from 0 to 1)
and angle (radians, clockwise). A track is one square per frame, float64 (F, 4), NaN without a detected face.
"""

from __future__ import annotations

from bisect import bisect_right

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter, percentile_filter

_OUTLIERS = 5  # frames of the median filter that removes single false detections
_LOCAL = 17  # detections whose median is the local reference
_FAR, _OTHER = 0.75, 1.5  # tolerances of the distance to the reference (in sides) and of the side (factor)
_MOTION = 2.0  # frames (standard deviation): a head turns within half a second
_LAG = 0.06  # of the side: greatest distance between smoothed and detected centre
_SHAPE = 6.0  # side and angle change more slowly than the centre
_LARGER = 17, 80  # frames and percentile of the side: the mouth opens faster than the smoothed side grows
_REACH = 24  # frames that may change a smoothed square: 2 + 8 + 2 * _SHAPE, and two to spare
_KERNEL = 4  # pixels of the crop around it that interpolation may read
GAP = 25  # frames (one second) beyond which two neighbours do not smooth each other
_FADING = 12.0  # frames from the nearest detection, after which the score of a square halves


def without_outliers(track: np.ndarray) -> np.ndarray:
    """Return a track (F, 4) without the squares that differ from the median of their neighbours in time."""
    track = track.copy()
    detected = ~np.isnan(track[:, 0])
    squares = track[detected]
    reference = median_filter(squares, size=(_LOCAL, 1), mode="nearest")
    distance = np.hypot(*(squares[:, :2] - reference[:, :2]).T) / reference[:, 2]
    squares[(distance > _FAR) | (np.abs(np.log(squares[:, 2] / reference[:, 2])) > np.log(_OTHER))] = np.nan
    track[detected] = squares
    return track


def smooth_track(track: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Remove the outliers of a track, interpolate its gaps and smooth it.

    Args:
        track: (F, 4) squares, NaN without a detected face; at least one row holds numbers.
        frames: (F,) ascending frame numbers.

    Returns:
        (F, 4) without NaN.
    """
    track = without_outliers(track)
    detected = ~np.isnan(track[:, 0])
    dense = np.stack([np.interp(frames, frames[detected], column[detected]) for column in track.T], axis=1)
    count = min(_OUTLIERS, len(dense))
    dense = median_filter(dense, size=(count - 1 + count % 2, 1), mode="nearest")  # an even window has no middle
    centre = gaussian_filter1d(dense[:, :2], _MOTION, axis=0, mode="nearest")
    lag = _LAG * dense[:, 2:3]
    centre = np.clip(centre, dense[:, :2] - lag, dense[:, :2] + lag)
    window, percentile = _LARGER
    dense[:, 2] = percentile_filter(dense[:, 2], percentile, size=window, mode="nearest")
    shape = gaussian_filter1d(dense[:, 2:], _SHAPE, axis=0, mode="nearest", truncate=2.0)
    return np.concatenate([centre, shape], axis=1)


class GrowingTrack:
    """Smoothed squares of a track that is filled frame by frame, without a second look at its beginning.

    Args:
        track: (F, 4) squares, NaN without a detected face; rows may be filled later, in order of time.
        frames: (F,) ascending frame numbers.
    """

    def __init__(self, track: np.ndarray, frames: np.ndarray) -> None:
        self._track, self._frames = track, frames
        self._read = self._judged = self._done = 0  # rows read, detections judged, and squares returned
        self._detected: list[int] = []  # rows with a detected face
        self._accepted: list[int] = []  # indices of the judged detections that are no outliers, among all detections

    def next_squares(self, end: int) -> np.ndarray:
        """Smooth the filled rows, and return the next squares that no later row changes.

        Args:
            end: Number of filled rows, more than in the call before.

        Returns:
            (n, 4), the rows of :func:`smooth_track` after those of earlier calls; all remaining ones at the end of the
            track; none before the first face.
        """
        self._judge(end)
        ready = end if end == len(self._track) else self._settled()
        if not self._detected or ready <= self._done:
            return np.empty((0, 4))
        start = self._context()
        squares = smooth_track(self._track[start:end], self._frames[start:end])[self._done - start : ready - start]
        self._done = ready
        return squares

    def _judge(self, end: int) -> None:
        """Decide which detections are outliers, as soon as all detections of their reference are known."""
        self._detected += (np.flatnonzero(~np.isnan(self._track[self._read : end, 0])) + self._read).tolist()
        self._read = end
        last = len(self._detected) - _LOCAL // 2
        if last > self._judged:
            first = max(self._judged - _LOCAL // 2, 0)
            squares = without_outliers(self._track[self._detected[first:]])
            accepted = np.flatnonzero(~np.isnan(squares[self._judged - first : last - first, 0]))
            self._accepted += (accepted + self._judged).tolist()
            self._judged = last

    def _settled(self) -> int:
        """Return the number of first rows whose smoothed squares no later row changes."""
        return max(self._detected[self._accepted[-1]] - _REACH + 1, 0) if self._accepted else 0

    def _context(self) -> int:
        """Return the first row that decides the next squares: before an accepted detection out of their reach."""
        count = bisect_right(self._accepted, self._done - _REACH, key=self._detected.__getitem__)
        return self._detected[max(self._accepted[count - 1] - _LOCAL // 2, 0)] if count else 0


def frames_to_detection(track: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the distance of each frame to the nearest detected face, in frames.

    Args:
        track: (F, 4) squares, NaN without a detected face.
        frames: (F,) ascending frame numbers.

    Returns:
        (F,); infinity if no row has a face.
    """
    known = frames[~np.isnan(track[:, 0])]
    if not len(known):
        return np.full(len(frames), np.inf)
    after = np.searchsorted(known, frames).clip(max=len(known) - 1)
    before = (after - 1).clip(min=0)
    return np.asarray(np.minimum(np.abs(frames - known[after]), np.abs(frames - known[before])))


def score_track(track: np.ndarray, squares: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Rate how well the squares of crops are known.

    Args:
        track: (F, 4) squares as detected, NaN without a detected face.
        squares: (F, 4) smoothed squares.
        frames: (F,) ascending frame numbers.

    Returns:
        int8 (F,): 100 where the smoothed square is the detected one, less by the difference of centre and side (in
        percent of the side); at most 50 without an accepted detection, and half of it every 12 frames further away.
    """
    track = without_outliers(track)
    detected = ~np.isnan(track[:, 0])
    moves = np.hypot(*(track[:, :2] - squares[:, :2]).T) / squares[:, 2] + np.abs(np.log(track[:, 2] / squares[:, 2]))
    near = frames_to_detection(track, frames)
    scores = np.where(detected, 100 * (1 - np.nan_to_num(moves)), 50 * 0.5 ** (near / _FADING))
    return np.asarray(np.clip(np.rint(scores), 0, 100), np.int8)


def crop_columns(
    track: np.ndarray, sources: np.ndarray, squares: np.ndarray, frames: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the columns of a store's table that rate the crops; see :data:`aubench.data.store_format.CROP_COLUMNS`.

    Args:
        track: (F, 4) squares as detected, NaN without a detected face.
        sources: (F,) source of each square.
        squares: (F, 4) smoothed squares.
        frames: (F,) ascending frame numbers.
    """
    accepted = ~np.isnan(without_outliers(track)[:, 0])
    return {
        "crop_source": np.where(accepted, sources, "neighbours"),
        "crop_score": score_track(track, squares, frames),
    }


def crop_transform(square: np.ndarray, size: int) -> np.ndarray:
    """Return the similarity transform from a square of the photo to the crop.

    Args:
        square: (4,) centre column, centre row, side, angle.
        size: Height and width of the crop.

    Returns:
        (2, 3): continuous photo coordinates (column, row, 1) to continuous crop coordinates.
    """
    column, row, side, angle = square
    cosine, sine = np.cos(angle) * size / side, np.sin(angle) * size / side
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    return np.column_stack([matrix, size / 2 - matrix @ [column, row]])


def crop_square(image: np.ndarray, square: np.ndarray, size: int) -> np.ndarray:
    """Crop a square of a photo and resize it.

    Args:
        image: uint8 (H, W, C).
        square: (4,) centre column, centre row, side, angle; black outside the photo.
        size: Height and width of the crop.

    Returns:
        uint8 (size, size, C).
    """
    ratio = size / square[2]
    image, square = window(image, square, size)
    transform = crop_transform(square, size)
    height, width = image.shape[:2]
    if ratio < 1:  # average first; a warp alone would skip pixels
        scaled = max(round(width * ratio), 1), max(round(height * ratio), 1)
        image = cv2.resize(image, scaled, interpolation=cv2.INTER_AREA)
        transform[:, :2] *= [width / scaled[0], height / scaled[1]]
    # cv2 counts from pixel centres, squares from pixel edges.
    transform[:, 2] += transform[:, :2] @ [0.5, 0.5] - 0.5
    cropped = cv2.warpAffine(image, transform, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(cropped)


def window(image: np.ndarray, square: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of a photo around a square, and the square in it: resizing all of the photo takes longer.

    Args:
        image: (H, W, C) or (H, W).
        square: (4,) centre column, centre row, side, angle.
        size: Height and width of the crop.
    """
    column, row, side, angle = square
    half = side / 2 * (abs(np.cos(angle)) + abs(np.sin(angle))) + _KERNEL / min(size / side, 1)
    height, width = image.shape[:2]
    left, top = (int(np.clip(start - half, 0, end - 1)) for start, end in ((column, width), (row, height)))
    right, bottom = max(int(column + half) + 1, left + 1), max(int(row + half) + 1, top + 1)
    return image[top:bottom, left:right], square - np.array([left, top, 0, 0])
