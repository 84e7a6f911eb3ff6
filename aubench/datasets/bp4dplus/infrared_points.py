"""Facial points of the thermal videos of BP4D+, and the registration of thermal and visual pictures by them.

``IRFeatures/F001_T1.txt`` has a line of 56 numbers for each frame of the video: column and row of 28 points in the
picture of 726 × 480 pixels. All are 0 where the tracker had lost the face.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from aubench._util.zip_files import COPY_AGAIN
from aubench.core.errors import DataError
from aubench.datasets.label_text import read_lines

COUNT = 28
"""Number of points in the thermal picture."""

WIDTH, HEIGHT = 726, 480
"""Pixels of the thermal picture, with its legend."""

SHARED = {
    10: (14,),  # wings of the nose
    21: (18,),
    11: (31,),  # corners of the mouth
    22: (37,),
    12: (32, 33),  # upper lip between corner and middle
    23: (35, 36),
    13: (41, 42),  # lower lip
    24: (38, 39),
    25: (34,),  # middles of the lips
    26: (40,),
}
"""Number of an infrared point, from 1, and rows of the 49 points whose mean is the same point of the face."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_MARGIN = 100  # pixels by which a point may leave the picture
_FEWEST = 6  # points of a registration
_MISFIT = 0.35  # greatest residual of a registration in radii of the points
_OUTLIERS, _MOTION = 5, 6.0  # frames of the median filter, standard deviation in frames: cameras do not move


def read_infrared_points(path: Path) -> np.ndarray:
    """Read the points of all frames of a thermal video.

    Returns:
        (F, 28, 2) columns and rows in the thermal picture, NaN where the tracker had lost a point.

    Raises:
        DataError: The file cannot be read, or a line has another number of values or points outside the picture.
    """
    lines = read_lines(path)
    points = np.full((len(lines), 2 * COUNT), np.nan)
    for i, line in enumerate(lines):
        cells = line.replace(",", " ").replace(";", " ").split()
        where = f"{path}:{i + 1}"
        if len(cells) != 2 * COUNT:
            raise DataError(f"the line has {len(cells)} numbers, not {2 * COUNT}", where=where, hint=COPY_AGAIN)
        wrong = next((cell for cell in cells if not _NUMBER.fullmatch(cell)), None)
        if wrong is not None:
            raise DataError(f"{wrong[:20]!r} is not a number", where=where, hint=COPY_AGAIN)
        points[i] = [float(cell) for cell in cells]
    faces = points.reshape(len(lines), COUNT, 2)
    faces[(faces == 0).all(axis=2)] = np.nan
    outside = (faces < -_MARGIN) | (faces > np.array([WIDTH, HEIGHT]) + _MARGIN)
    if outside.any():
        first = 1 + int(np.flatnonzero(outside.any(axis=(1, 2)))[0])
        what = f"a point is outside the picture of {WIDTH} × {HEIGHT} pixels"
        raise DataError(what, where=f"{path}:{first}", hint=COPY_AGAIN)
    return faces


def register(infrared: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the similarity from the thermal picture to the photo of each frame, smoothed over time.

    Columns and rows are the real and imaginary parts of complex numbers, so that a similarity is ``a z + b``.

    Args:
        infrared: (F, 28, 2) points in the thermal picture, NaN for unknown ones.
        points: (F, 49, 2) points in the photo, NaN for unknown ones.

    Returns:
        complex (F, 2) a and b, NaN for all frames if no frame has a registration of its own, and bool (F,), whether a
        frame has one.
    """
    from_, to = _shared(infrared, points)
    known = ~np.isnan(from_ + to)
    count = np.maximum(known.sum(axis=1), 1)
    from_, to = np.where(known, from_, 0), np.where(known, to, 0)
    from_mean, to_mean = from_.sum(axis=1) / count, to.sum(axis=1) / count
    from_, to = np.where(known, from_ - from_mean[:, None], 0), np.where(known, to - to_mean[:, None], 0)
    spread = np.maximum(np.square(np.abs(from_)).sum(axis=1), 1e-9)
    a = (from_.conj() * to).sum(axis=1) / spread
    error = np.square(np.abs(to - a[:, None] * from_)).sum(axis=1)
    radius = np.maximum(np.square(np.abs(to)).sum(axis=1), 1e-9)
    fits = (known.sum(axis=1) >= _FEWEST) & (error <= _MISFIT**2 * radius)
    if not fits.any():
        return np.full((len(a), 2), np.nan, complex), fits
    middle = np.median(from_mean[fits].real) + 1j * np.median(from_mean[fits].imag)  # a and b move together
    at_middle = to_mean + a * (middle - from_mean)
    with np.errstate(divide="ignore"):
        tracks = np.stack([np.log(np.abs(a)), np.angle(a), at_middle.real, at_middle.imag])
    logarithm, angle, column, row = _smooth(tracks, fits)
    a = np.exp(logarithm + 1j * angle)
    return np.stack([a, column + 1j * row - a * middle], axis=1), fits


def _shared(infrared: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points that both sets have, complex (F, P)."""
    from_ = infrared[:, [number - 1 for number in SHARED]]
    to = np.stack([points[:, rows].mean(axis=1) for rows in SHARED.values()], axis=1)
    return from_ @ [1, 1j], to @ [1, 1j]


def _smooth(tracks: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Interpolate and smooth the rows of ``tracks`` (N, F) over time."""
    time = np.arange(tracks.shape[1])
    dense = np.stack([np.interp(time, time[known], track[known]) for track in tracks])
    dense = median_filter(dense, size=(1, min(_OUTLIERS, len(time))), mode="nearest")
    return np.asarray(gaussian_filter1d(dense, _MOTION, axis=1, mode="nearest"))


def thermal_square(square: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Return the square of the thermal picture that shows the same as a square of the photo.

    Args:
        square: (4,) centre column, centre row, side, angle.
        similarity: complex (2,) a and b.
    """
    a, b = similarity
    centre = (square[0] + 1j * square[1] - b) / a
    return np.array([centre.real, centre.imag, square[2] / abs(a), square[3] - np.angle(a)])
