"""Reader of the delivered 49-point landmark files.

A file is MATLAB 7.3, which is HDF5: ``fit/pred`` holds one reference per frame to an array of points, (2, 49),
in the order of :mod:`aubench.core.landmarks`. A frame that the tracker lost has fewer numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aubench.core.errors import DataError, UsageError
from aubench.core.landmarks import COUNT, LEFT_EYE, MOUTH, RIGHT_EYE
from aubench.datasets.bp4d.crops import crop_transform

_AGAIN = "copy the file from the delivery again"

# In eye distances of a frontal face, for a square from forehead to chin.
_SIDE = 3.1
_MOUTH_BELOW_EYES = 1.1
_DOWN = 0.45


def landmark_file(folder: Path, subject: str, sequence: str) -> Path:
    """Return the path of the landmark file of a sequence."""
    return folder / f"{subject}_{sequence}.mat"


def read_landmarks(path: Path, frames: list[int]) -> np.ndarray:
    """Read the points of each frame.

    Args:
        path: Landmark file.
        frames: Frame numbers, from 1.

    Returns:
        (F, 49, 2) columns and rows in the photo, NaN for frames that the tracker lost.

    Raises:
        UsageError: h5py is not installed.
        DataError: The file cannot be read or has another layout.
    """
    try:
        import h5py  # an extra: only this option needs it
    except ImportError:
        hint = "pip install 'aubench[landmarks]'"
        raise UsageError("reading landmarks needs h5py", where="--landmarks", hint=hint) from None
    try:
        with h5py.File(path, "r") as file:
            return dereference_points(file, file["fit/pred"], frames)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"is not a 49-point file ({error})", where=path, hint=_AGAIN) from None


def dereference_points(file: Any, references: Any, frames: list[int]) -> np.ndarray:
    """Return the points of each frame, (F, 49, 2).

    Args:
        file: HDF5 file or mapping in which ``file[reference]`` is an array of points.
        references: One reference per frame, as a row or a column.
        frames: Frame numbers, from 1.
    """
    references = np.asarray(references).ravel()
    landmarks = np.full((len(frames), COUNT, 2), np.nan)
    for face, frame in zip(landmarks, frames, strict=True):
        if 1 <= frame <= len(references):
            points = np.asarray(file[references[frame - 1]], np.float64)
            if points.size == 2 * COUNT and np.isfinite(points).all():
                face[:] = points.T if points.shape[0] == 2 else points
    return landmarks


def face_track(points: np.ndarray) -> np.ndarray:
    """Return the squares around the landmarks (F, 49, 2) of each frame: (F, 4), NaN for NaN."""
    return np.stack([square_around(face) for face in points]) if len(points) else np.empty((0, 4))


def landmarks_in_crop(points: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Convert points of photos to columns and rows of the crops, 0 to 1 from edge to edge.

    Args:
        points: (F, 49, 2) column, row.
        squares: (F, 4), see :mod:`aubench.datasets.bp4d.crops`.

    Returns:
        float32 (F, 49, 2); NaN for NaN. Points outside the square are outside 0 to 1.
    """
    cropped = np.empty(points.shape, np.float32)
    for i, square in enumerate(squares):
        transform = crop_transform(square, 1)
        cropped[i] = points[i] @ transform[:, :2].T + transform[:, 2]
    return cropped


def square_around(points: np.ndarray) -> np.ndarray:
    """Return the square from forehead to chin around 49 points.

    Its angle is that of the line through the eyes. The larger of eye distance and scaled eye-to-mouth distance
    sets its size, so that it does not shrink when the head turns or nods.

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
