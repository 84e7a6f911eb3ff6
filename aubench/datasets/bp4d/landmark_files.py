"""The delivered 49-point files: where eyes and mouth are, frame by frame.

A file is MATLAB 7.3, which is HDF5: ``fit/pred`` holds one reference a frame to that frame's points, (2, 49);
a frame that the tracker lost has fewer numbers. Their order: :mod:`aubench.core.landmarks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aubench.core.errors import DataError, UsageError
from aubench.core.landmarks import COUNT, LEFT_EYE, MOUTH, RIGHT_EYE
from aubench.datasets.bp4d.crops import to_crop

_AGAIN = "copy the file from the delivery again"

# In eye-to-eye distances of a face seen from the front, so that the square reaches from forehead to chin.
_SIDE = 3.1
_MOUTH_BELOW_EYES = 1.1
_DOWN = 0.45


def landmark_file(folder: Path, subject: str, sequence: str) -> Path:
    """Where the points of a sequence are."""
    return folder / f"{subject}_{sequence}.mat"


def read_landmarks(path: Path, frames: list[int]) -> np.ndarray:
    """Read where the points of each frame are.

    Args:
        path: A 49-point file.
        frames: Frame numbers; the file's first frame is number 1.

    Returns:
        (F, 49, 2) columns and rows in the photo, NaN where the tracker had lost the face.

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
            return points_of(file, file["fit/pred"], frames)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"is not a 49-point file ({error})", where=path, hint=_AGAIN) from None


def points_of(file: Any, references: Any, frames: list[int]) -> np.ndarray:
    """The points of each frame, (F, 49, 2).

    Args:
        file: What a reference leads into: ``file[reference]`` is an array of points.
        references: One a frame, as a row or a column.
        frames: Frame numbers, from 1.
    """
    listed = np.asarray(references).ravel()
    found = np.full((len(frames), COUNT, 2), np.nan)
    for face, frame in zip(found, frames, strict=True):
        if 1 <= frame <= len(listed):
            points = np.asarray(file[listed[frame - 1]], np.float64)
            if points.size == 2 * COUNT and np.isfinite(points).all():
                face[:] = points.T if points.shape[0] == 2 else points
    return found


def face_track(points: np.ndarray) -> np.ndarray:
    """One square (see :mod:`aubench.datasets.bp4d.crops`) for each frame of (F, 49, 2): (F, 4), NaN where there are none."""
    return np.stack([square_around(face) for face in points]) if len(points) else np.empty((0, 4))


def landmarks_in_crop(points: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Points of photos as columns and rows of a square in each, 0 to 1 from edge to edge.

    Args:
        points: (F, 49, 2) column, row.
        squares: (F, 4), see :mod:`aubench.datasets.bp4d.crops`.

    Returns:
        float32 (F, 49, 2); NaN stays NaN, and a point beside its square lies beside 0 to 1.
    """
    placed = np.empty(points.shape, np.float32)
    for i, square in enumerate(squares):
        turn = to_crop(square, 1)
        placed[i] = points[i] @ turn[:, :2].T + turn[:, 2]
    return placed


def square_around(points: np.ndarray) -> np.ndarray:
    """The square from forehead to chin around 49 points.

    Its sides follow the line through the eyes. The larger of eye distance and eye-to-mouth distance sets its
    size, so that a turned or a nodding head does not shrink it.

    Args:
        points: (49, 2) column, row.

    Returns:
        (4,) centre column, centre row, side, angle.
    """
    left, right, mouth = (points[part].mean(axis=0) for part in (LEFT_EYE, RIGHT_EYE, MOUTH))
    eyes = (left + right) / 2
    along = right - left
    angle = np.arctan2(along[1], along[0])
    unit = max(np.linalg.norm(along), np.linalg.norm(mouth - eyes) / _MOUTH_BELOW_EYES)
    column, row = eyes + (mouth - eyes) * (_DOWN / _MOUTH_BELOW_EYES)
    return np.array([column, row, _SIDE * unit, angle])
