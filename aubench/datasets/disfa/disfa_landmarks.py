"""The 66 points of DISFA (``SN001_0000_lm.mat``), of which 49 are those of :mod:`aubench.core.landmarks`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from aubench._util.zip_files import COPY_AGAIN
from aubench.core.errors import DataError
from aubench.core.landmarks import COUNT
from aubench.datasets.bp4d.landmark_files import check_faces, known_face
from aubench.datasets.matlab_arrays import read_matlab_arrays

_DELIVERED = 66
_JAW = _DELIVERED - COUNT  # the outline of the face comes first; the others have the order of the 49 points
_LARGEST = 1 << 20


def read_disfa_landmarks(files: Mapping[int, Path], first: int, frames: int) -> np.ndarray:
    """Read the points of a video.

    Args:
        files: Landmark file by the number in its name.
        first: Number of the file of the first frame.
        frames: Number F of frames.

    Returns:
        (F, 49, 2) columns and rows in the frame, NaN for frames without a file or without points.

    Raises:
        DataError: A file cannot be read, or its points have another number, order or unit.
    """
    points = np.full((frames, COUNT, 2), np.nan)
    for index in range(frames):
        path = files.get(first + index)
        if path is not None:
            points[index] = _read(path)
    if files:
        check_faces(points, next(iter(files.values())).parent)
    return points


def _read(path: Path) -> np.ndarray:
    """Return the 49 points of a file, NaN if it has none."""
    try:
        with path.open("rb") as file:
            arrays = read_matlab_arrays(file.read(_LARGEST))
        if arrays and all(array.size == 0 for array in arrays):
            return np.full((COUNT, 2), np.nan)
        points = [array for array in arrays if array.shape in {(_DELIVERED, 2), (2, _DELIVERED)}]
        if len(points) != 1:
            shapes = ", ".join(" x ".join(map(str, array.shape)) for array in arrays)
            raise ValueError(f"arrays of {shapes or 'nothing'}, not one of {_DELIVERED} x 2 numbers")
        return known_face((points[0].T if points[0].shape[0] == 2 else points[0])[_JAW:])
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, hint=COPY_AGAIN) from None
    except ValueError as error:
        raise DataError(f"is not a landmark file ({error})", where=path, hint=COPY_AGAIN) from None
