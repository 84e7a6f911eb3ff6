"""The z-buffer against NumPy, and the reading of a mesh, both on a mesh of a BP4D scan's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aubench.faces.depth import LocatedMesh, depth_map, locate, z_buffer
from aubench.faces.meshes import read_obj

GRID = 194  # squared: 37,636 vertices, 74,498 triangles
SIZE = 256
PHOTO = (1392, 1040)
SQUARE = np.array([520.0, 700.0, 480.0, 0.0])


def write_scan(path: Path) -> Path:
    line = np.linspace(-97, 97, GRID)
    x, y = (axis.ravel() for axis in np.meshgrid(line, line))
    z = 60 * np.cos(x / 80) * np.cos(y / 80) - 1200
    lines = [f"v {a:.6f} {-b:.6f} {c:.6f}" for a, b, c in zip(x, y, z, strict=True)]
    u, v = (520 + 2.5 * x) / PHOTO[1], 1 - (700 + 2.5 * y) / PHOTO[0]
    lines += [f"vt {a:.6f} {b:.6f}" for a, b in zip(u, v, strict=True)]
    for i in (row * GRID + column + 1 for row in range(GRID - 1) for column in range(GRID - 1)):
        lines += [f"f {i}/{i} {i + GRID}/{i + GRID} {i + 1}/{i + 1}"]
        lines += [f"f {i + 1}/{i + 1} {i + GRID}/{i + GRID} {i + GRID + 1}/{i + GRID + 1}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def numpy_z_buffer(corners: np.ndarray, nearness: np.ndarray, size: int) -> np.ndarray:
    """Rasterise every pixel of every bounding box, then take the greatest value per pixel."""
    low = np.maximum(np.ceil(corners.min(axis=1) - 0.5).astype(int), 0)
    high = np.minimum(np.floor(corners.max(axis=1) - 0.5).astype(int) + 1, size)
    wide, tall = np.maximum(high - low, 0).T
    owner = np.repeat(np.arange(len(corners)), wide * tall)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(wide * tall) - wide * tall, wide * tall)
    column, row = low[owner, 0] + offset % wide[owner], low[owner, 1] + offset // wide[owner]
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = ab[:, 0] * ac[:, 1] - ac[:, 0] * ab[:, 1]
    area = np.where(area == 0, np.inf, area)
    x, y = column + 0.5 - a[owner, 0], row + 0.5 - a[owner, 1]
    b = (x * ac[owner, 1] - y * ac[owner, 0]) / area[owner]
    c = (y * ab[owner, 0] - x * ab[owner, 1]) / area[owner]
    inside = (b >= -1e-9) & (c >= -1e-9) & (b + c <= 1 + 1e-9)
    owner, b, c = owner[inside], b[inside], c[inside]
    rise = nearness - nearness[:, :1]
    near = nearness[owner, 0] + b * rise[owner, 1] + c * rise[owner, 2]
    buffer = np.full((size, size), -np.inf)
    np.maximum.at(buffer, (row[inside], column[inside]), near)
    return buffer


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan(tmp_path_factory.mktemp("scan") / "0000.obj")


def test_z_buffer_against_numpy(measure, best_of, scan: Path) -> None:
    mesh = read_obj(scan)
    points = np.column_stack([mesh.texture[:, 0] * PHOTO[1], (1 - mesh.texture[:, 1]) * PHOTO[0]])
    points = (points - SQUARE[:2] + SQUARE[2] / 2) * SIZE / SQUARE[2]
    ours = points, mesh.texture_triangles, mesh.vertices[:, 2].copy(), mesh.triangles, SIZE
    plain = points[mesh.texture_triangles], mesh.vertices[:, 2][mesh.triangles], SIZE
    assert np.allclose(z_buffer(*ours), numpy_z_buffer(*plain))
    seconds = best_of(lambda: numpy_z_buffer(*plain), 5)
    print(f"\nz-buffer: {seconds / measure(z_buffer, *ours):.1f} times faster than NumPy")


def test_mesh_to_depth_map(measure, scan: Path) -> None:
    located = locate(read_obj(scan), PHOTO)
    assert isinstance(located, LocatedMesh)
    seconds = measure(depth_map, located, SQUARE, SIZE)
    print(f"\nmesh to depth map: {1000 * seconds:.1f} ms")


def test_read_mesh(measure, scan: Path) -> None:
    print(f"\nreading a mesh: {scan.stat().st_size / measure(read_obj, scan) / 1e6:.0f} MB/s")
