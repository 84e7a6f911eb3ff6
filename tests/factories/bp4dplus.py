"""A small BP4D+ delivery in the layout of its owners, with its irregularities."""

from __future__ import annotations

import colorsys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from aubench.datasets.bp4d.layout import SCORED
from aubench.datasets.bp4dplus.infrared_points import COUNT, HEIGHT, SHARED, WIDTH
from tests.factories.bp4d import WIDTH as PHOTO_WIDTH
from tests.factories.bp4d import draw_face, make_points_49, write_dome
from tests.factories.videos import write_video

NAMED = [1, 1, 2, 4, 5, 6, 7, *range(9, 21), 22, 23, 24, *range(27, 40)]
"""Header of label files: the first cell is that of the frame."""

TURN, SHIFT = 0.55 * np.exp(0.06j), -70 - 35j
"""Similarity from the thermal picture to the photo: columns and rows are real and imaginary parts."""

FACE = (104.0, 120.0, 42.0)
"""Column and row of the middle between the eyes, and their distance, in the photo of frame 0."""


@dataclass(frozen=True)
class PlusDelivery:
    """Paths of a small delivery."""

    root: Path

    def codes(self, name: str) -> Path:
        return self.root / "AUCoding/AU_OCC" / f"{name}.csv"

    def points(self, name: str) -> Path:
        return self.root / "2DFeatures" / f"{name}.mat"

    def infrared(self, name: str) -> Path:
        return self.root / "IRFeatures" / f"{name}.txt"

    def video(self, name: str) -> Path:
        return self.root / "Thermal" / f"{name.replace('_', '/')}.wmv"

    def zip(self, subject: str) -> Path:
        return self.root / "2D+3D" / f"{subject}.zip"


def face_at(frame: int) -> tuple[float, float, float]:
    """Return the face of a photo, counted from 0."""
    return FACE[0] + frame, FACE[1], FACE[2]


def photo(frame: int) -> bytes:
    column, row, eyes = face_at(frame)
    image = draw_face(column, row + 0.5 * eyes, 2.4 * eyes, seed=frame)
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def write_named_codes(path: Path, rows: dict[int, dict[int, int]]) -> None:
    """Write a label file of 34 AUs: 9, but for codes by frame and AU."""
    lines = [",".join(map(str, NAMED))]
    for frame, codes in rows.items():
        lines.append(",".join(map(str, [frame, *(codes.get(au, 9) for au in NAMED[1:])])))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_fit(path: Path, frames: int, lost: Iterable[int] = ()) -> None:
    """Write a MATLAB 5 file of points; frames count from 1 and lost ones are empty."""
    fit = np.zeros((1, frames), dtype=[("frame", object), ("pts_2d", object), ("headPose", object)])
    for i in range(frames):
        points = np.empty((0, 0)) if i + 1 in lost else make_points_49(*face_at(i))
        fit[0, i] = (float(i + 1), points, np.zeros(3))
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"fit": fit})


def infrared_line(frame: int) -> str:
    """Return the line of a frame, counted from 0."""
    points, face = np.full((COUNT, 2), 250.0), make_points_49(*face_at(frame))
    for number, rows in SHARED.items():
        thermal = (face[list(rows)].mean(axis=0) @ [1, 1j] - SHIFT) / TURN
        points[number - 1] = thermal.real, thermal.imag
    return " ".join(f"{value:.3f}" for value in points.ravel())


def colour(share: np.ndarray) -> np.ndarray:
    """Return rainbow colours, uint8 (..., 3): blue for 0 and red for 1."""
    table = np.array([colorsys.hsv_to_rgb(0.7 * (1 - i / 511), 1, 1) for i in range(512)])
    return np.rint(255 * table[np.rint(np.clip(share, 0, 1) * 511).astype(int)]).astype(np.uint8)


def thermal_picture(frame: int = 0, shown: np.ndarray | None = None) -> np.ndarray:
    """Draw a thermal picture that is warmer towards the right of the photo, with a legend.

    Args:
        frame: Number of the frame, from 0; decides the text of the legend.
        shown: (480, 684) values in [0, 1] to show instead.
    """
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    if shown is None:
        shown = ((x + 1j * y) * TURN + SHIFT).real[:, :684] / PHOTO_WIDTH
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:, :684] = colour(shown)
    picture[30:450, 690:704] = colour(1 - np.arange(420) / 419)[:, None]
    for row, text in ((40, f"{36 + frame}"), (445, "22")):
        cv2.putText(picture, text, (705, row), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
    return picture


def write_delivery(root: Path) -> PlusDelivery:
    """Write a zipped and an unpacked subject.

    ``F001.zip`` lists its files in a mixed order, with names of 3 digits, and photo 2 of T1 is not in it. The task T2
    has no codes. Subject M002 has names of 4 digits, and no infrared points in T6. Each tracker lost one frame of F001.
    """
    delivery = PlusDelivery(root)
    delivery.zip("F001").parent.mkdir(parents=True)
    with zipfile.ZipFile(delivery.zip("F001"), "w") as archive:
        for name, frames in (("T1", (4, 0, 5, 3, 1)), ("T2", (0, 1))):
            for frame in frames:
                column, row, eyes = face_at(frame)
                archive.writestr(f"F001/{name}/{frame:03}.jpg", photo(frame))
                write_dome(root / "dome.obj", column, row + 0.5 * eyes, 2.4 * eyes)
                archive.write(root / "dome.obj", f"F001/{name}/{frame:03}.obj")
        archive.writestr("F001/T1/Thumbs.db", b"x")
    (root / "dome.obj").unlink()
    for task in ("T1", "T6"):
        for frame in range(3):
            path = root / f"2D+3D/M002/{task}/{frame:04}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo(frame))
            column, row, eyes = face_at(frame)
            write_dome(path.with_suffix(".obj"), column, row + 0.5 * eyes, 2.4 * eyes)
    write_named_codes(delivery.codes("F001_T1"), {n: {1: n % 2, 2: 1 - n % 2, 12: 1, 24: 0} for n in range(2, 6)})
    write_named_codes(delivery.codes("M002_T1"), {1: {1: 1}, 2: {1: 0}})
    write_named_codes(delivery.codes("M002_T6"), {2: {1: 0, 24: 1}})
    write_fit(delivery.points("F001_T1"), 6, lost=[5])
    for name in ("M002_T1", "M002_T6"):
        write_fit(delivery.points(name), 3)
    for name, frames in (("F001_T1", 6), ("M002_T1", 3)):
        lines = [infrared_line(frame) for frame in range(frames)]
        if name == "F001_T1":
            lines[1] = " ".join(["0"] * 56)
        delivery.infrared(name).parent.mkdir(parents=True, exist_ok=True)
        delivery.infrared(name).write_text("\r\n".join(lines) + "\r\n")
        write_video(delivery.video(name), map(thermal_picture, range(frames)), "WMV2", 25)
        (delivery.video(name).parent / "Thumbs.db").write_bytes(b"x")
    write_video(delivery.video("M002_T6"), map(thermal_picture, range(3)), "WMV2", 25)
    physiology = root / "Physiology/F042/T11"
    physiology.mkdir(parents=True)
    (physiology / "EDA_microsiemens.txt").write_text("1.5\n")
    intensity = root / "AUCoding/AU_INT/AU06/F001_T1_AU06.csv"
    intensity.parent.mkdir(parents=True)
    intensity.write_text("2,0\n3,5\n4,9\n5,1\n")
    return delivery


def write_subject(delivery: PlusDelivery, subject: str, frames: int = 3, seed: int = 0) -> None:
    """Write all files of task T1 of a subject, with random codes for the 12 scored AUs."""
    name, rng = f"{subject}_T1", np.random.default_rng(seed)
    path = delivery.zip(subject)
    path.parent.mkdir(parents=True, exist_ok=True)
    mesh = path.with_suffix(".obj")
    with zipfile.ZipFile(path, "w") as archive:
        for frame in range(frames):
            column, row, eyes = face_at(frame)
            archive.writestr(f"{subject}/T1/{frame:04}.jpg", photo(frame))
            write_dome(mesh, column, row + 0.5 * eyes, 2.4 * eyes)
            archive.write(mesh, f"{subject}/T1/{frame:04}.obj")
    mesh.unlink()
    write_named_codes(delivery.codes(name), {n + 1: {au: int(rng.integers(2)) for au in SCORED} for n in range(frames)})
    write_fit(delivery.points(name), frames)
    delivery.infrared(name).parent.mkdir(parents=True, exist_ok=True)
    delivery.infrared(name).write_text("\n".join(map(infrared_line, range(frames))) + "\n")
    write_video(delivery.video(name), map(thermal_picture, range(frames)), "WMV2", 25)
