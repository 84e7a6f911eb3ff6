"""Reader of Wavefront OBJ files: vertices, texture coordinates and triangles of a scanned face."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aubench._util.jit import compiled
from aubench._util.zip_files import COPY_AGAIN, DeliveredFile, ZipEntry
from aubench.core.errors import DataError
from aubench.faces.obj_parser import ANY, ERRORS, NEWLINE, parse

_LARGEST = 256 << 20
_ISOLATED = 0.002  # share of points of no triangle up to which a mesh is complete


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh."""

    vertices: np.ndarray  # (V, 3) float64, in the unit of the file (BP4D: mm)
    texture: np.ndarray  # (T, 2) float64 u and v; T is 0 if the file has none
    triangles: np.ndarray  # (N, 3) int32 rows of ``vertices``
    texture_triangles: np.ndarray  # (N, 3) int32 rows of ``texture``; -1 if the file has none
    unused: int = 0  # vertices and texture coordinates of no triangle
    has_last_newline: bool = True  # whether the last line of the file ends


def read_obj(path: DeliveredFile) -> Mesh:
    """Read the ``v``, ``vt`` and ``f`` lines of an OBJ file, and split polygons into fans of triangles.

    Raises:
        DataError: The file cannot be read, has no triangle, or has a damaged line: a number that is not finite or
            beyond a thousand million, too few numbers, an index out of range, or zero bytes. The message names file
            and line.
    """
    text = _text(path)
    # A line has at least 8 bytes (``v 0 0 0``), 7, or 2 for a further corner. Untouched memory costs nothing.
    vertices, texture = np.empty((len(text) // 8 + 1, 3)), np.empty((len(text) // 7 + 1, 2))
    triangles, texture_triangles = (np.empty((len(text) // 2 + 1, 3), np.int32) for _ in range(2))
    outputs, counts = (vertices, texture, triangles, texture_triangles), np.zeros(3, np.int64)
    error, line = parse(text, *outputs, counts, np.array([ANY, ANY]))
    v, t, n = counts.tolist()
    vertices, texture, triangles, texture_triangles = vertices[:v], texture[:t], triangles[:n], texture_triangles[:n]
    unused = 0 if error else _count_unused(triangles, texture_triangles, v, t)
    if unused < 0:  # an index is out of range; a second pass finds its line
        error, line = parse(text, *outputs, np.zeros(3, np.int64), np.array([v, t]))
    if error:
        raise DataError(f"the line {ERRORS[error]}", where=f"{path}:{line}", hint=COPY_AGAIN)
    if not n:
        raise DataError("holds no triangle", where=path, hint=COPY_AGAIN)
    zero = int(text.argmin())
    if text[zero] == 0:
        line = 1 + int(np.count_nonzero(text[:zero] == NEWLINE))
        raise DataError("the line has zero bytes", where=f"{path}:{line}", hint=COPY_AGAIN)
    return Mesh(vertices, texture, triangles, texture_triangles, unused, bool(text[-2] == NEWLINE))


class MeshEnding(NamedTuple):
    """Properties of a mesh file that tell whether its end is missing."""

    path: DeliveredFile
    unused: int  # vertices and texture coordinates of no triangle
    points: int  # all vertices and texture coordinates
    has_last_newline: bool  # whether its last line ends

    @staticmethod
    def of(path: DeliveredFile, mesh: Mesh) -> MeshEnding:
        """Return the properties of a mesh."""
        points = len(mesh.vertices) + len(mesh.texture)
        return MeshEnding(path, mesh.unused, points, mesh.has_last_newline)


def check_endings(endings: Sequence[MeshEnding]) -> None:
    """Refuse a mesh whose end is missing, unlike that of the other meshes of its sequence.

    A file that is cut inside a line lacks the last newline. One that is cut between two lines of faces has vertices
    of no triangle.

    Raises:
        DataError: A mesh lacks a newline that most others have, or has three times as many unused vertices as usual,
            and more than isolated ones.
    """
    if not endings:
        return
    usual = sorted(ending.unused for ending in endings)[(len(endings) - 1) // 2]
    ends = 2 * sum(ending.has_last_newline for ending in endings) >= len(endings)
    for ending in endings:
        reason = "its last line does not end" if ends and not ending.has_last_newline else None
        if ending.unused > max(3 * usual, _ISOLATED * ending.points):
            reason = f"{ending.unused} of its points belong to no triangle, usually {usual}"
        if reason:
            raise DataError(f"is cut short, {reason}", where=ending.path, hint=f"{COPY_AGAIN}, or remove it")


def _text(path: DeliveredFile) -> np.ndarray:
    """Return the bytes of the file and a final newline, which prevents reads past the end."""
    if isinstance(path, ZipEntry):
        return np.append(np.frombuffer(path.read_bytes(), np.uint8), np.uint8(NEWLINE))
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST:
                raise DataError("is too large for a face mesh", where=path, hint=COPY_AGAIN)
            text = np.full(size + 1, NEWLINE, np.uint8)
            file.readinto(text[:size].data)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, hint=COPY_AGAIN) from None
    return text


@compiled
def _count_unused(triangles: np.ndarray, texture_triangles: np.ndarray, vertices: int, texture: int) -> int:
    """Count vertices and texture coordinates of no triangle; -1 if a triangle has another one."""
    has_vertex, has_texture = np.zeros(vertices, np.bool_), np.zeros(texture, np.bool_)
    for n in range(len(triangles)):
        for k in range(3):
            v, t = triangles[n, k], texture_triangles[n, k]
            if v >= vertices or t >= texture:
                return -1
            has_vertex[v] = True
            if t >= 0:
                has_texture[t] = True
    return int(vertices - has_vertex.sum() + texture - has_texture.sum())
