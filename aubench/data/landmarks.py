"""The delivered 49-point files: where eyes and mouth are, frame by frame.

A file is MATLAB 7.3, which is HDF5: ``fit/pred`` holds one reference a frame to that frame's points, (2, 49);
a frame that the tracker lost has fewer numbers. The points: brows 0-9, nose 10-18, eyes 19-24 and 25-30
(from left to right in the photo), mouth 31-48.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aubench.errors import DataError, UsageError

_POINTS = 49
_LEFT_EYE, _RIGHT_EYE, _MOUTH = slice(19, 25), slice(25, 31), slice(31, 49)
_AGAIN = "copy the file from the delivery again"

# In eye-to-eye distances of a face seen from the front, so that the square reaches from forehead to chin.
_SIDE = 3.1
_MOUTH_BELOW_EYES = 1.1
_DOWN = 0.45


def landmark_file(folder: Path, subject: str, sequence: str) -> Path:
    """Where the points of a sequence are."""
    return folder / f"{subject}_{sequence}.mat"


def read_landmarks(path: Path, frames: list[int]) -> np.ndarray:
    """Read where the face is.

    Args:
        path: A 49-point file.
        frames: Frame numbers; the file's first frame is number 1.

    Returns:
        (F, 4) squares (see :mod:`aubench.data.crops`), NaN where the tracker had lost the face.

    Raises:
        UsageError: h5py is not installed.
        DataError: It cannot be read or is laid out in another way.
    """
    try:
        import h5py  # an extra: only this option needs it
    except ImportError:
        hint = "pip install 'aubench[landmarks]'"
        raise UsageError("reading landmarks needs h5py", where="--landmarks", hint=hint) from None
    try:
        with h5py.File(path, "r") as file:
            return squares_of(file, file["fit/pred"], frames)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"is not a 49-point file ({error})", where=path, hint=_AGAIN) from None


def squares_of(file: Any, references: Any, frames: list[int]) -> np.ndarray:
    """One square a frame.

    Args:
        file: What a reference leads into: ``file[reference]`` is an array of points.
        references: One a frame, as a row or a column.
        frames: Frame numbers, from 1.
    """
    listed = np.asarray(references).ravel()
    squares = np.full((len(frames), 4), np.nan)
    for square, frame in zip(squares, frames, strict=True):
        if 1 <= frame <= len(listed):
            points = np.asarray(file[listed[frame - 1]], np.float64)
            if points.size == 2 * _POINTS and np.isfinite(points).all():
                square[:] = square_around(points.T if points.shape[0] == 2 else points)
    return squares


def square_around(points: np.ndarray) -> np.ndarray:
    """The square from forehead to chin around 49 points.

    Its sides follow the line through the eyes. The larger of eye distance and eye-to-mouth distance sets its
    size, so that a turned or a nodding head does not shrink it.

    Args:
        points: (49, 2) column, row.

    Returns:
        (4,) centre column, centre row, side, angle.
    """
    left, right, mouth = (points[part].mean(axis=0) for part in (_LEFT_EYE, _RIGHT_EYE, _MOUTH))
    eyes = (left + right) / 2
    along = right - left
    angle = np.arctan2(along[1], along[0])
    unit = max(np.linalg.norm(along), np.linalg.norm(mouth - eyes) / _MOUTH_BELOW_EYES)
    column, row = eyes + (mouth - eyes) * (_DOWN / _MOUTH_BELOW_EYES)
    return np.array([column, row, _SIDE * unit, angle])
