"""A small BP4D delivery: drawn faces that the detector accepts, dome-shaped meshes, and label files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from aubench.data.store import Store
from aubench.datasets.bp4d.bp4d_dataset import BP4D, Bp4dOptions
from aubench.faces.images import Photo

HEIGHT, WIDTH = 278, 208
CODED = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)


def draw_face(column: float, row: float, side: float, seed: int = 0) -> np.ndarray:
    """Draw a face on a dark background: uint8 (HEIGHT, WIDTH, 3), RGB."""
    down, along = np.mgrid[0:HEIGHT, 0:WIDTH]
    x, y = (along + 0.5 - column) / side, (down + 0.5 - row) / side

    def blob(centre_x: float, centre_y: float, radius_x: float, radius_y: float) -> np.ndarray:
        return np.exp(-((((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2) ** 2))

    light = 60 + 120 * blob(0, 0.02, 0.5, 0.68) + 30 * blob(0, 0.0, 0.05, 0.2) - 70 * blob(0, 0.3, 0.19, 0.05)
    for half in (-1, 1):
        light -= 60 * blob(0.2 * half, -0.13, 0.14, 0.075) + 50 * blob(0.2 * half, -0.13, 0.06, 0.05)
        light -= 60 * blob(0.2 * half, -0.27, 0.16, 0.035) + 30 * blob(0.05 * half, 0.13, 0.04, 0.025)
        light += 20 * blob(0.24 * half, 0.1, 0.13, 0.12)
    light += np.random.default_rng(seed).normal(0, 2, light.shape)
    return np.clip(light[..., None] * [1.0, 0.85, 0.75], 0, 255).astype(np.uint8)


def write_photo(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())


def write_dome(path: Path, column: float, row: float, side: float, grid: int = 16) -> None:
    """Write a dome over the face, 200 mm wide and 60 mm high, with texture coordinates of its photo."""
    step = np.linspace(-0.6, 0.6, grid)
    x, y = (part.ravel() for part in np.meshgrid(step, step))
    z = 60 * np.cos(x * np.pi / 1.2) * np.cos(y * np.pi / 1.2)
    lines = [f"v {a * 166:.3f} {-b * 166:.3f} {c - 1200:.3f}" for a, b, c in zip(x, y, z, strict=True)]
    u, v = (column + x * side) / WIDTH, 1 - (row + y * side) / HEIGHT
    lines += [f"vt {a:.6f} {b:.6f}" for a, b in zip(u, v, strict=True)]
    for i in (r * grid + c + 1 for r in range(grid - 1) for c in range(grid - 1)):
        lines += ["f " + " ".join(f"{k}/{k}" for k in (i, i + grid, i + grid + 1, i + 1))]
    path.write_text("\n".join(lines) + "\n")


def write_head(
    path: Path,
    centre: tuple[float, float],
    yaw: float = 0,
    photo: tuple[int, int] = (HEIGHT, WIDTH),
    scale: float = 0.9,
) -> None:
    """Write a head with a nose and eye sockets, turned by ``yaw`` degrees, as a camera sees it.

    Args:
        path: File.
        centre: Column and row of the middle of the head.
        yaw: Angle to the right of the photo.
        photo: Height and width of the photo.
        scale: Pixels per mm.
    """
    angle, height = (axis.ravel() for axis in np.meshgrid(np.linspace(-2, 2, 120), np.linspace(-115, 100, 110)))
    narrow = np.sqrt(np.clip(1 - (height / 135) ** 2, 0.05, 1)) - 0.0012 * np.clip(height - 10, 0, None)
    x, z = 76 * narrow * np.sin(angle), 100 * narrow * np.cos(angle)
    nose = np.clip((height + 30) / 34, 0, 1) * np.clip((18 - height) / 6, 0, 1)
    z += 26 * nose * np.exp(-((x / 12) ** 2)) * (z > 0)
    z -= 8 * np.exp(-(((np.abs(x) - 32) / 14) ** 2 + ((height + 28) / 11) ** 2)) * (z > 0)
    cosine, sine = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    x, z = x * cosine + z * sine, z * cosine - x * sine
    corners = np.array([(r * 120 + c, r * 120 + c + 120, r * 120 + c + 1) for r in range(109) for c in range(119)])
    corners = np.concatenate([corners, corners[:, [2, 1, 1]] + [0, 0, 1]])
    a, b, c = (np.stack([x, height], axis=1)[corners[:, k]] for k in range(3))
    seen = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0
    used, corners = np.unique(corners[seen], return_inverse=True)
    u, v = (centre[0] + scale * x[used]) / photo[1], 1 - (centre[1] + scale * height[used]) / photo[0]
    lines = [f"v {p:.2f} {-q:.2f} {r - 1200:.2f}" for p, q, r in zip(x[used], height[used], z[used], strict=True)]
    lines += [f"vt {p:.5f} {q:.5f}" for p, q in zip(u, v, strict=True)]
    lines += [f"f {p}/{p} {q}/{q} {r}/{r}" for p, q, r in corners.reshape(-1, 3) + 1]
    path.write_text("\n".join(lines) + "\n")


def write_codes(path: Path, frames: range, seed: int = 0) -> None:
    """Write codes: 0 or 1 for the coded AUs, 9 for the others, 0 in the last column."""
    rng = np.random.default_rng(seed)
    rows = [",".join(map(str, range(100)))]
    for frame in frames:
        codes = [9] * 98 + [0]
        for au in CODED:
            codes[au - 1] = int(rng.integers(2))
        rows.append(",".join(map(str, [frame, *codes])))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def make_points_49(column: float, row: float, eyes: float) -> np.ndarray:
    """Return the points of a symmetric face, (49, 2).

    Args:
        column: Column of the middle between the eyes.
        row: Row of that middle.
        eyes: Distance between the eyes.
    """

    def arc(centre_x: float, centre_y: float, radius_x: float, radius_y: float, *steps: int) -> np.ndarray:
        """Return points of an ellipse, clockwise from its leftmost point in 48 steps."""
        angle = np.pi + np.array(steps) * np.pi / 24
        return np.stack([centre_x + radius_x * np.cos(angle), centre_y + radius_y * np.sin(angle)], axis=1)

    face = [
        *(arc(half, -0.25, 0.35, 0.15, 4, 8, 12, 16, 20) for half in (-0.55, 0.55)),
        np.stack([np.zeros(4), np.linspace(0, 0.5, 4)], axis=1),
        arc(0, 0.6, 0.25, -0.1, 0, 6, 12, 18, 24),
        *(arc(half, 0, 0.22, 0.08, 0, 8, 16, 24, 32, 40) for half in (-0.5, 0.5)),
        arc(0, 1.1, 0.45, 0.2, *range(0, 48, 4)),
        arc(0, 1.1, 0.3, 0.07, 6, 12, 18, 30, 36, 42),
    ]
    return np.concatenate(face) * eyes + [column, row]


def write_landmarks(path: Path, points: np.ndarray) -> None:
    """Write a 49-point file of (F, 49, 2), frames from 1; NaN marks a frame that the tracker lost."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        references = file.create_dataset("fit/pred", (len(points), 1), dtype=h5py.ref_dtype)
        for i, face in enumerate(points):
            data = np.zeros(2) if np.isnan(face).any() else face.T
            references[i, 0] = file.create_dataset(f"#refs#/{i}", data=data).ref


@pytest.fixture
def take_photo(tmp_path: Path) -> Callable[..., Photo]:
    """Return a function that writes a photo of faces (centre column, centre row, side), or of a background."""

    def take(*faces: tuple[float, float, float]) -> Photo:
        images = [draw_face(*face) for face in faces] or [np.full((HEIGHT, WIDTH, 3), 60, np.uint8)]
        path = tmp_path / "photos" / f"{len(list(tmp_path.glob('photos/*')))}.jpg"
        write_photo(path, np.max(images, axis=0))
        return Photo.read(path)

    return take


@dataclass(frozen=True)
class Delivery:
    """Paths of a small delivery."""

    root: Path

    def task(self, subject: str, task: str) -> Path:
        return self.root / "Sequences(2D+3D)" / subject / task

    def codes(self, subject: str, task: str) -> Path:
        return self.root / "AUCoding" / "AU_OCC" / f"{subject}_{task}.csv"


class Prepared(NamedTuple):
    """Store and summary."""

    store: Path
    lines: list[str]


def prepare_bp4d(
    source: Path, store: Path, *, progress: Callable[[int, int], None] = lambda done, total: None, **options: object
) -> Prepared:
    """Prepare a store of a delivery, also with images that are smaller than the command allows."""
    BP4D.prepare(source, store, Bp4dOptions.model_construct(**options), progress)
    return Prepared(store, BP4D.summarize(Store(store)))


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    """Write the delivery that tests copy."""
    delivery = Delivery(tmp_path_factory.mktemp("delivery") / "BP4D")
    for i, (subject, digits) in enumerate([("F001", 4), ("F002", 4), ("M009", 3)]):
        for task in (1, 2):
            folder, seed = delivery.task(subject, f"T{task}"), 10 * i + task
            for n in range(5):
                position = (104 + 3 * i + n, 140 - 2 * n, 104 + 4 * i)
                write_photo(folder / f"{n:0{digits}}.jpg", draw_face(*position, seed=seed * 100 + n))
                write_dome(folder / f"{n:0{digits}}.obj", *position)
            write_codes(delivery.codes(subject, f"T{task}"), range(1, 5), seed)
    return delivery


@pytest.fixture
def delivery(master: Delivery, tmp_path: Path) -> Delivery:
    """Copy three subjects with two tasks each, five photos and meshes (0 to 4), frames 1 to 4 coded."""
    shutil.copytree(master.root, tmp_path / "BP4D")
    return Delivery(tmp_path / "BP4D")


@pytest.fixture
def points_49() -> Callable[..., np.ndarray]:
    """Return :func:`make_points_49`."""
    return make_points_49


@pytest.fixture
def write_points() -> Callable[..., None]:
    """Return :func:`write_landmarks`."""
    return write_landmarks
