"""Projection of a face mesh to a depth map in the crop of its photo.

The texture coordinates of a scan give the position of each vertex in its photo: column = u W, row = (1 - v) H.
The photo and the depth map therefore share a crop, whatever the camera. Only the depth needs a direction: after
a fit of x and y to columns and rows, the sign of its determinant gives the side along z from which the camera
looks, and its scale gives the pixels per unit. Some programs count texture rows from above, row = v H, which turns that
sign. The shape decides: the middle of a face is nearer to the camera than its outline.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from aubench._util.jit import compiled
from aubench.faces.crops import crop_transform
from aubench.faces.meshes import Mesh

_REFERENCE = 144  # from its middle, a face extends further back (ears) than forward (nose)
_RANGE = 0.65  # of the crop's side, about 12 cm: half a millimetre a grey level

MEANING = (
    "distance to the camera from the face mesh, nearer is brighter: grey"
    f" {_REFERENCE} is the median of the middle of the crop, 255 grey levels are {_RANGE} crop sides (about 12 cm),"
    " 1 and 255 include all beyond, 0 is no surface"
)

_EDGE = 1e-9  # tolerance against gaps between neighbours
_MISFIT = 0.1  # of the extent of the mesh; texture coordinates of an atlas exceed it
_BEYOND = 1.5  # of the photo, from its middle; further texture coordinates are damaged
_HOLLOW = 0.05  # depth of the middle in mean radii of the mesh, from which on the surface counts as hollow
_SAMPLE = 4000  # triangles from which the direction is estimated


class LocatedMesh(NamedTuple):
    """A mesh and its position in its photo."""

    mesh: Mesh
    points: np.ndarray  # (T, 2) columns and rows of the texture coordinates
    towards: float  # pixels per unit of z towards the camera, with sign


def depth_map(located: LocatedMesh, square: np.ndarray, size: int) -> np.ndarray | str:
    """Project a mesh into a square of its photo.

    Args:
        located: Mesh and position.
        square: (4,) centre column, centre row, side, angle (see :mod:`aubench.faces.crops`).
        size: Height and width of the map.

    Returns:
        uint8 (size, size, 1) with the values of :data:`MEANING`, or the reason why there is none.
    """
    mesh, points, towards = located
    transform = crop_transform(square, size)
    nearness = mesh.vertices[:, 2] * (towards * size / square[2])
    surface = z_buffer(
        points @ transform[:, :2].T + transform[:, 2], mesh.texture_triangles, nearness, mesh.triangles, size
    )
    middle = surface[size // 4 : -(size // 4), size // 4 : -(size // 4)]
    if not np.isfinite(middle).any():
        return "the mesh is not where the face is"
    reference = np.median(middle[np.isfinite(middle)])
    grey = np.clip(np.rint(_REFERENCE + (surface - reference) * (255 / (_RANGE * size))), 1, 255)
    return np.where(np.isfinite(surface), grey, 0).astype(np.uint8)[..., None]


def locate(mesh: Mesh, photo: tuple[int, int]) -> LocatedMesh | str:
    """Find where a mesh is in its photo.

    Args:
        mesh: Mesh with texture coordinates.
        photo: Height and width of the photo.

    Returns:
        The mesh and its position, or the reason if it cannot be found.
    """
    if mesh.texture_triangles.min() < 0:
        return "the mesh has no texture coordinates"
    height, width = photo
    points = np.column_stack([mesh.texture[:, 0] * width, (1 - mesh.texture[:, 1]) * height])
    some = slice(None, None, max(len(mesh.triangles) // _SAMPLE, 1))
    pixels, space = points[mesh.texture_triangles[some, 0]], mesh.vertices[mesh.triangles[some, 0]]
    towards, misfit = _camera(pixels, space[:, :2])
    if misfit > _MISFIT or np.abs(mesh.texture - 0.5).max() > _BEYOND:
        return "the mesh's texture coordinates do not map it onto the photo"
    if _hollowness(pixels, space[:, 2] * towards) > _HOLLOW:  # rows count from above
        points[:, 1] = mesh.texture[:, 1] * height
        towards = -towards
    return LocatedMesh(mesh, points, towards)


def _camera(pixels: np.ndarray, space: np.ndarray) -> tuple[float, float]:
    """Return the signed pixels per unit of z towards the camera, and the error of the fit relative to the extent."""
    pixels, space = pixels - pixels.mean(axis=0), space - space.mean(axis=0)
    fit, _, rank, _ = np.linalg.lstsq(space.T @ space, space.T @ pixels, rcond=None)
    extent = np.sqrt(np.square(pixels).sum())
    if rank < 2 or extent == 0:
        return 0.0, np.inf
    misfit = np.sqrt(np.square(pixels - space @ fit).sum()) / extent
    # Rows count downwards: x to the right and y up give a negative determinant, and then z comes nearer.
    area = float(np.linalg.det(fit))
    return float(np.sqrt(abs(area)) * -np.sign(area)), float(misfit)


def _hollowness(pixels: np.ndarray, nearness: np.ndarray) -> float:
    """Return how much further the middle is than the outline, in mean radii, from a paraboloid with a free tilt."""
    pixels = pixels - pixels.mean(axis=0)
    radius = np.sqrt(np.square(pixels).sum(axis=1).mean())
    x, y = pixels.T / radius
    terms = np.column_stack([np.ones_like(x), x, y, x**2 + y**2])
    return float(np.linalg.lstsq(terms, nearness / radius, rcond=None)[0][3])


@compiled
def z_buffer(
    points: np.ndarray, corners: np.ndarray, nearness: np.ndarray, near_corners: np.ndarray, size: int
) -> np.ndarray:
    """Return the nearest surface at each pixel centre.

    Args:
        points: float64 (T, 2) columns and rows; pixel (0, 0) spans 0 to 1.
        corners: int (N, 3) rows of ``points`` for the corners of each triangle.
        nearness: float64 (V,), interpolated linearly between corners (exact for a distant camera).
        near_corners: int (N, 3) rows of ``nearness`` for the same corners.
        size: Height and width of the buffer.

    Returns:
        float64 (size, size): greatest nearness of any triangle, -inf without a triangle.
    """
    buffer = np.full((size, size), -np.inf)
    for n in range(len(corners)):
        i, j, k = corners[n, 0], corners[n, 1], corners[n, 2]
        ax, ay, near = points[i, 0], points[i, 1], nearness[near_corners[n, 0]]
        bx, by, rise_b = points[j, 0] - ax, points[j, 1] - ay, nearness[near_corners[n, 1]] - near
        cx, cy, rise_c = points[k, 0] - ax, points[k, 1] - ay, nearness[near_corners[n, 2]] - near
        area = bx * cy - cx * by
        if area == 0:
            continue
        by_b, bx_b, cy_c, cx_c = by / area, bx / area, cy / area, cx / area
        top, bottom = _span(ay + min(0.0, by, cy), ay + max(0.0, by, cy), size)
        left, right = _span(ax + min(0.0, bx, cx), ax + max(0.0, bx, cx), size)
        for row in range(top, bottom):
            for column in range(left, right):
                x, y = column + 0.5 - ax, row + 0.5 - ay
                b, c = x * cy_c - y * cx_c, y * bx_b - x * by_b  # weights of the second and third corner
                if b >= -_EDGE and c >= -_EDGE and b + c <= 1 + _EDGE:
                    buffer[row, column] = max(buffer[row, column], near + b * rise_b + c * rise_c)
    return buffer


@compiled
def _span(least: float, most: float, size: int) -> tuple[int, int]:
    """Return the range of pixels whose centres are between ``least`` and ``most``, the end excluded."""
    first = min(max(np.ceil(least - 0.5), 0.0), float(size))
    last = min(max(np.floor(most - 0.5) + 1, 0.0), float(size))
    return int(first), int(last)
