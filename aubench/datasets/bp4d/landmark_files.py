"""Reader of the delivered 49-point landmark files.

A file is MATLAB 7.3, which is HDF5: ``fit/pred`` holds one reference per frame to an array of points, (2, 49),
in the order of :mod:`aubench.core.landmarks`. The files of BP4D+ are MATLAB 5: ``fit`` is a struct array with
``frame`` and ``pts_2d``. A frame that the tracker lost has no points.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from aubench._util.zip_files import COPY_AGAIN
from aubench.core.errors import DataError, UsageError
from aubench.core.landmarks import COUNT, LEFT_EYE, MOUTH, RIGHT_EYE
from aubench.datasets.matlab_arrays import read_matlab_struct
from aubench.faces.crops import crop_transform

_OTHER = "give the folder of the delivered 49-point files"

# In eye distances of a frontal face, for a square from forehead to chin.
_SIDE = 3.1
_MOUTH_BELOW_EYES = 1.1
_DOWN = 0.5

# Of a turned head, by the distance of the tip of the nose from the line between eyes and mouth, all in sides: move to
# the visible ear, enlargement, and their limits.
_ASIDE, _FARTHEST = 2.0, 0.19
_LARGER, _MOST_TURNED = 0.8, 0.13

_BROWS, _EYES, _NOSTRILS, _NOSE_TIP = slice(0, 10), slice(19, 31), slice(14, 19), 13
_LARGEST = 1 << 26  # bytes of a file
_MOST_FRAMES = 1 << 20
_MIN_EYE_DISTANCE, _MAX_COORDINATE = 4, 1e5  # pixels


def landmark_file(folder: Path, subject: str, sequence: str) -> Path:
    """Return the path of the landmark file of a sequence, in any case and with any number of zeros if it exists."""
    path = folder / f"{subject}_{sequence}.mat"
    if not path.is_file() and folder.is_dir():
        name = re.compile(rf"{subject}[_-]T0*{sequence[1:]}\.mat", re.IGNORECASE)
        return next((file for file in sorted(folder.iterdir()) if name.fullmatch(file.name)), path)
    return path


def read_landmarks(path: Path, frames: list[int]) -> np.ndarray:
    """Read the points of each frame.

    Args:
        path: Landmark file.
        frames: Frame numbers, from 1.

    Returns:
        (F, 49, 2) columns and rows in the photo, NaN for frames that the tracker lost.

    Raises:
        UsageError: h5py is not installed.
        DataError: The file cannot be read, has another layout, or is from another tracker.
    """
    try:
        points = (_read_matlab_5 if _is_matlab_5(path) else _read_hdf5)(path, frames)
    except (DataError, UsageError):
        raise
    except Exception as error:  # the libraries raise exceptions of many types for damaged files
        raise DataError(f"is not a 49-point file ({error})", where=path, hint=COPY_AGAIN) from None
    check_faces(points, path)
    return points


def _is_matlab_5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(10) == b"MATLAB 5.0"
    except OSError:
        return False  # reported by the reader


def _read_hdf5(path: Path, frames: list[int]) -> np.ndarray:
    try:
        import h5py  # an extra: only this option needs it
    except ImportError:
        hint = "pip install 'aubench[landmarks]'"
        raise UsageError("reading landmarks needs h5py", where="--landmarks", hint=hint) from None
    with h5py.File(path, "r") as file:
        return dereference_points(file, file["fit/pred"], frames)


def _read_matlab_5(path: Path, frames: list[int]) -> np.ndarray:
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"more than {_LARGEST} bytes")
    fit = read_matlab_struct(path.read_bytes(), "fit")
    if any(not {"pts_2d", "pred"} & fields.keys() for fields in fit):
        raise ValueError("no field pts_2d or pred")
    numbers = [_frame_number(fields["frame"]) if "frame" in fields else i for i, fields in enumerate(fit, 1)]
    by_frame = {number: fields.get("pts_2d", fields.get("pred")) for number, fields in zip(numbers, fit, strict=True)}
    if len(by_frame) < len(fit):
        raise ValueError("a frame occurs twice")
    return _faces((by_frame.get(frame) for frame in frames), len(frames))


def _frame_number(value: np.ndarray | None) -> int:
    if value is None or value.size != 1 or not float(value.item()).is_integer():
        raise ValueError("a frame without a whole number")
    return int(value.item())


def dereference_points(file: Any, references: Any, frames: list[int]) -> np.ndarray:
    """Return the points of each frame, (F, 49, 2).

    Args:
        file: HDF5 file or mapping in which ``file[reference]`` is an array of points.
        references: One reference per frame, as a row or a column.
        frames: Frame numbers, from 1.
    """
    if (count := _numbers(references)) > _MOST_FRAMES:
        raise ValueError(f"{count} frames")
    references = np.asarray(references).ravel()
    present = range(1, len(references) + 1)
    return _faces((file[references[frame - 1]] if frame in present else None for frame in frames), len(frames))


def _faces(arrays: Iterable[Any], count: int) -> np.ndarray:
    """Return the points of each array, (F, 49, 2); NaN for None, for an empty array and for a lost face.

    Raises:
        ValueError: An array has another number of points, or other units.
    """
    landmarks = np.full((count, COUNT, 2), np.nan)
    for face, array in zip(landmarks, arrays, strict=True):
        if _numbers(array) > face.size:
            raise _wrong_shape(array.shape)
        points = np.asarray(() if array is None else array, np.float64)
        if points.size <= 3:  # HDF5 stores an empty array as its shape
            continue
        if points.shape not in {(2, COUNT), (COUNT, 2)}:
            raise _wrong_shape(points.shape)
        face[:] = known_face(points.T if points.shape[0] == 2 else points)
    return landmarks


def _numbers(array: Any) -> int:
    """Return the number of values of an array of HDF5 before it is read: a small file may hold one of any size."""
    return math.prod(getattr(array, "shape", ()))


def _wrong_shape(shape: tuple[int, ...]) -> ValueError:
    return ValueError(f"a frame has an array of {' x '.join(map(str, shape))} numbers, not 49 x 2")


def known_face(points: np.ndarray) -> np.ndarray:
    """Return the points (N, 2) of a face; NaN if they are not finite, or at one place, such as 0 or -1 for a lost face.

    Raises:
        ValueError: A point is not in pixels.
    """
    if not np.isfinite(points).all() or (points == points[0]).all():
        return np.full_like(points, np.nan)
    if np.abs(points).max() > _MAX_COORDINATE:
        raise ValueError("a point is not in pixels")
    return points


def check_faces(points: np.ndarray, path: Path) -> None:
    """Refuse points in another order or unit, as those of other trackers.

    Raises:
        DataError: Most faces have eyes or mouth at impossible positions.
    """
    if not are_faces(points):
        what = "its points are not those of the 49-point tracker in pixels"
        raise DataError(what, where=path, hint=_OTHER)


def are_faces(points: np.ndarray) -> bool:
    """Return whether most of the known faces (F, 49, 2) are in pixels, with brows, eyes, nose and mouth in order."""
    faces = points[np.isfinite(points).all((1, 2))]
    if len(faces) == 0:
        return True
    along = faces[:, RIGHT_EYE].mean(axis=1) - faces[:, LEFT_EYE].mean(axis=1)
    down = along[:, ::-1] * [-1, 1]
    heights = [(faces[:, part].mean(axis=1) * down).sum(axis=1) for part in (_BROWS, _EYES, _NOSTRILS, MOUTH)]
    is_face = (np.diff(heights, axis=0) > 0).all(axis=0) & (np.linalg.norm(along, axis=1) > _MIN_EYE_DISTANCE)
    return bool(np.mean(is_face) >= 0.5)


def face_track(points: np.ndarray) -> np.ndarray:
    """Return the squares around the landmarks (F, 49, 2) of each frame: (F, 4), NaN for NaN."""
    return np.stack([square_around(face) for face in points]) if len(points) else np.empty((0, 4))


def landmarks_in_crop(points: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Convert points of photos to columns and rows of the crops, 0 to 1 from edge to edge.

    Args:
        points: (F, 49, 2) column, row.
        squares: (F, 4), see :mod:`aubench.faces.crops`.

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
    sets its size, so that it does not shrink when the head turns or nods. The square of a turned head is larger and
    nearer to the visible ear, so that it holds the cheek.

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
    level, side = np.array([np.cos(angle), np.sin(angle)]), _SIDE * unit
    down, nose = mouth - eyes, points[_NOSE_TIP] - eyes
    turn = (nose - down * (nose @ down) / max(down @ down, 1e-9)) @ level / side
    side *= 1 + _LARGER * min(abs(turn), _MOST_TURNED)
    centre = eyes + down * (_DOWN / _MOUTH_BELOW_EYES) - level * side * np.clip(_ASIDE * turn, -_FARTHEST, _FARTHEST)
    return np.array([*centre, side, angle])
