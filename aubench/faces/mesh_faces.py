"""Search for the face in a mesh by the shape of an average face.

The texture coordinates give a mesh in the pixels of its photo. Its height map, in cells of 8 mm, is compared with
those of an average face in 33 directions of view. The comparison covers forehead, eyes, nose and upper lip, which
move with the skull, and not the jaw.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from aubench._util.jit import compiled
from aubench.faces.depth import LocatedMesh

SIDE = 246.0
"""Side in mm of the square around an adult's face; it holds a dropped jaw."""

_DOWN, _ASIDE = 21.0, 42.0  # mm to its middle: down, and towards the visible ear of a head that is turned by 90 degrees
_MISFIT = 8.0  # mm: greatest mean error of a face
_CELL, _REACH = 8.0, 10  # mm; cells from the middle of a height map to its edge
_SHAPE = 2 * _REACH + 1
_HOLE = 20.0  # mm: error of a cell without a surface
_DEEPEST = 150.0  # mm behind the nearest point
_EXTENT = 1000.0  # mm from the middle of the mesh, beyond which nothing belongs to a face
_FRONT = 30.0  # mm: depth of the front of a cell
_VERTICES = 12000  # of a mesh, at most
_NEAR = 3  # cells and steps of the direction to search around the last face
_YAWS, _PITCHES = range(-75, 76, 15), (-20, 0, 20)  # degrees
_POSES = np.array([(yaw, pitch) for yaw in _YAWS for pitch in _PITCHES])

# Average face in mm from the middle between eyes and mouth: x to the right, y down, z towards the viewer. A paraboloid
# that steepens sideways, and bumps of column (on both sides), row, width, height and elevation.
_BUMPS = (
    (9, 6, 8, 6, 13),
    (0, -3, 10, 17, 31),
    (17, -29, 9, 9, -10),
    (4, -67, 50, 30, 30),
    (58, 6, 32, 13, 12),
    (0, 39, 38, 16, 40),
)


class Pose(NamedTuple):
    """Position and direction of a face in a photo."""

    column: float  # of the middle between eyes and mouth, in pixels
    row: float  # of the same point
    scale: float  # pixels per mm
    view: int  # row of the table of directions
    misfit: float  # mean difference to the average face in mm

    @property
    def square(self) -> np.ndarray:
        """Square from forehead to chin, (4,)."""
        aside = _ASIDE * np.sin(np.radians(_POSES[self.view, 0]))
        return np.array([self.column - aside * self.scale, self.row + _DOWN * self.scale, SIDE * self.scale, 0.0])

    @property
    def is_face(self) -> bool:
        """Whether the shape is that of a face."""
        return self.misfit <= _MISFIT


@dataclass(frozen=True)
class HeightMap:
    """Nearness of a mesh in cells."""

    heights: np.ndarray  # (rows, columns) mm towards the camera; 0 where there is no surface
    surface: np.ndarray  # (rows, columns), 1 where there is one
    origin: np.ndarray  # (2,) row and column of the first cell's corner in the photo, in mm
    scale: float  # pixels per mm

    @staticmethod
    def of(located: LocatedMesh) -> HeightMap:
        """Return the height map of a mesh in its photo."""
        mesh, points, towards = located
        scale = abs(towards)
        some = slice(None, None, max(len(mesh.triangles) // _VERTICES, 1))
        rows = points[mesh.texture_triangles[some, 0]][:, ::-1] / scale
        near = mesh.vertices[mesh.triangles[some, 0], 2] * (towards / scale)
        near -= near.max()
        front = [axis[near > -_DEEPEST] for axis in rows.T]
        low, middle, high = (np.array([part(axis) for axis in front]) for part in (np.min, np.median, np.max))
        low, high = np.maximum(low, middle - _EXTENT), np.minimum(high, middle + _EXTENT)
        margin = _CELL * (_REACH + 1)
        shape = np.ceil((high - low + 2 * margin) / _CELL).astype(int)
        heights = _cell_means(np.column_stack([rows - low + margin, near]), int(shape[0]), int(shape[1]))
        surface = heights > -_DEEPEST  # NaN is not
        return HeightMap(np.where(surface, heights, 0), surface.astype(np.float64), low - margin, scale)

    def has_surface(self, column: float, row: float) -> bool:
        """Return whether the mesh is at most three cells from a pixel of the photo."""
        cells = np.argwhere(self.surface) + 0.5
        distances = np.abs(cells * _CELL + self.origin - np.array([row, column]) / self.scale).max(axis=1)
        return bool((distances <= _NEAR * _CELL).any())

    def search(self, near: Pose | np.ndarray | None = None) -> Pose | None:
        """Return the best position of a face.

        Args:
            near: Last pose, or column and row of the photo, near which to search. All positions by default.
        """
        cells, views = self._positions(near), self._views(near)
        if not len(cells):
            return None
        misfits = self._misfits(cells, views)
        cell, view = np.unravel_index(misfits.argmin(), misfits.shape)
        best = dict(zip(map(tuple, cells.tolist()), np.square(misfits.min(axis=1)).tolist(), strict=True))
        centre = cells[cell] + 0.5 + _minimum(best, cells[cell])
        row, column = np.round((centre * _CELL + self.origin) * self.scale, 2)  # equal on every machine
        return Pose(float(column), float(row), self.scale, int(views[view]), float(misfits[cell, view]))

    def _positions(self, near: Pose | np.ndarray | None) -> np.ndarray:
        """Return the cells (N, 2) around which to compare."""
        inner = self.surface[_REACH:-_REACH, _REACH:-_REACH]
        cells = np.argwhere(inner) + _REACH
        if near is None:
            return cells
        middle = (np.array([near[1], near[0]]) / self.scale - self.origin) / _CELL - 0.5
        return np.asarray(cells[(np.abs(cells - middle) <= _NEAR).all(axis=1)])

    def _views(self, near: Pose | np.ndarray | None) -> np.ndarray:
        if not isinstance(near, Pose):
            return np.arange(len(_POSES))
        return np.flatnonzero((np.abs(_POSES - _POSES[near.view]) <= (15, 20)).all(axis=1))

    def _misfits(self, cells: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Return the mean error (N, views) in mm, after the best shift along the line of sight."""
        windows = np.lib.stride_tricks.sliding_window_view
        at = tuple((cells - _REACH).T)
        heights, surface = (
            windows(field, (_SHAPE, _SHAPE))[at].reshape(len(cells), -1) for field in (self.heights, self.surface)
        )
        face, weights = (table[views] for table in _average_faces())
        weighted = face * weights
        count, total = surface @ weights.T, weights.sum(axis=1)
        sums = heights @ weights.T - surface @ weighted.T
        squares = np.square(heights) @ weights.T - 2 * heights @ weighted.T + surface @ (face * weighted).T
        errors = squares - np.square(sums) / np.maximum(count, 1e-3) + (total - count) * _HOLE**2
        return np.asarray(np.sqrt(np.maximum(errors, 0) / total))


def _minimum(best: dict[tuple[int, ...], float], cell: np.ndarray) -> np.ndarray:
    """Return the minimum of the parabola through a cell and its neighbours, for rows and columns."""
    shift = np.zeros(2)
    for axis, step in enumerate(np.eye(2, dtype=int)):
        before, after = best.get(tuple(cell - step)), best.get(tuple(cell + step))
        if before is not None and after is not None:
            curvature = before - 2 * best[tuple(cell)] + after
            shift[axis] = np.clip((before - after) / (2 * curvature), -0.5, 0.5) if curvature > 0 else 0
    return shift


@compiled
def _cell_means(points: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the mean nearness of the front of each cell from rows, columns and nearness; NaN where there is none."""
    front, sums, counts = np.full((rows, columns), -np.inf), np.zeros((rows, columns)), np.zeros((rows, columns))
    for selects_front in (True, False):
        for n in range(len(points)):
            row, column, near = int(np.floor(points[n, 0] / _CELL)), int(np.floor(points[n, 1] / _CELL)), points[n, 2]
            if not (0 <= row < rows and 0 <= column < columns):
                continue
            if selects_front:
                front[row, column] = max(front[row, column], near)
            elif near > front[row, column] - _FRONT:
                sums[row, column] += near
                counts[row, column] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


@cache
def _average_faces() -> tuple[np.ndarray, np.ndarray]:
    """Return heights in mm and weights of the average face from each direction, (views, cells)."""
    y, x = (axis.ravel() for axis in np.mgrid[-72:36:2.0, -66:67:2.0])
    z = -12 - 19 * ((y + 14) / 60) ** 2 - 41 * (x / 71) ** 4
    for column, row, width, tall, elevation in _BUMPS:
        z += elevation * np.exp(-(((np.abs(x) - column) / width) ** 2 + ((y - row) / tall) ** 2) / 2)
    heights, weights = [], []
    for yaw, pitch in np.radians(_POSES).tolist():
        turned = np.column_stack([x, y, z]) @ _rotation(yaw, pitch).T
        rows = turned[:, [1, 0]] + _CELL * _SHAPE / 2
        height = _cell_means(np.column_stack([rows, turned[:, 2]]), _SHAPE, _SHAPE)
        slope = np.hypot(*np.gradient(height)) / _CELL
        weights.append(np.where(np.isnan(height), 0, 1 / (1 + np.nan_to_num(slope, nan=1.0) ** 2)))
        heights.append(np.nan_to_num(height))
    return np.array(heights).reshape(len(_POSES), -1), np.array(weights).reshape(len(_POSES), -1)


def _rotation(yaw: float, pitch: float) -> np.ndarray:
    (a, b), (c, d) = (np.cos(yaw), np.sin(yaw)), (np.cos(pitch), np.sin(pitch))
    return np.asarray(np.array([[a, 0, b], [0, 1, 0], [-b, 0, a]]) @ np.array([[1, 0, 0], [0, c, -d], [0, d, c]]))
