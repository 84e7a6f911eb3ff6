"""Share of crops that hold the complete face, on rendered faces whose vertices are known.

    python benchmarks/measure_crops.py MODEL [SUBJECTS]

``MODEL`` is a folder with ``make_tree.py`` and ``ict_face.npz``, which render ICT-FaceKit faces in the layout of BP4D.
A crop holds the face if all vertices of its front, from the hairline to below the chin, are inside.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tabulate import tabulate

from aubench.datasets.bp4d.landmark_files import face_track
from aubench.faces import crops, face_detection
from aubench.faces.depth import locate
from aubench.faces.face_tracker import FaceTracker
from aubench.faces.images import Photo
from aubench.faces.meshes import read_obj

WIDTH, HEIGHT, FRAMES = 256, 343, 30
FRONT = 6706  # first vertices of the model: the face without ears and neck
POINTS = [i for i in range(17, 68) if i not in (60, 64)]  # 49 of 68 points
SCENES = ("neutral", "jaw dropped", "mouth opens and closes", "leaning aside", "turning to 60°", "45° to 60°")


def pose_frames(scene: str, rng: np.random.Generator, millimetres: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return angles (F, 3) in degrees, positions (F, 3) in mm and openings of the jaw (F,), 0 to 1."""
    turn, shift, jaw = rng.normal(0, (2, 3, 1.5), (1, 3)), rng.normal(0, (6, 5, 15), (1, 3)), np.zeros(FRAMES)
    turn, shift = np.repeat(turn, FRAMES, 0), np.repeat(shift, FRAMES, 0)
    time, side = np.arange(FRAMES), rng.choice([-1, 1])
    if scene == "jaw dropped":
        jaw[:] = rng.uniform(0.6, 1)
    if scene == "mouth opens and closes":
        jaw = 0.5 - 0.5 * np.cos(time / 2)
    if scene == "leaning aside":  # a fifth of the picture for a third of the time
        aside = np.clip(np.minimum(time - 7, 22 - time) / 6, 0, 1)
        shift[:, 0] += side * 0.2 * WIDTH * millimetres * aside
        turn[:, 2] -= 8 * side * aside
    if scene == "turning to 60°":
        turn[:, 0] += side * np.clip((time - 4) / (FRAMES - 12), 0, 1) * 60
    if scene == "45° to 60°":
        turn[:, 0] += side * rng.uniform(45, 60)
    return turn, shift, jaw


def render(make_tree: Any, name: str, scene: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Write photos and meshes of a scene; return vertices (F, V, 2) and points (F, 49, 2) in pixels."""
    model, subject = make_tree.the_model(), make_tree.the_subject(name, 7)
    rng = np.random.default_rng([make_tree.SUBJECTS.index(name), SCENES.index(scene)])
    light = make_tree.make_scene(subject, WIDTH, HEIGHT, rng)
    millimetres = make_tree.DISTANCE / (make_tree.FOCAL * WIDTH)
    vertices, points = [], []
    for frame, (turn, shift, jaw) in enumerate(zip(*pose_frames(scene, rng, millimetres), strict=True)):
        intensities = dict.fromkeys(make_tree.AUS, 0.0) | {26: jaw / make_tree.AUS[26][1]["jawOpen"]}
        head = make_tree.pose(model, subject, intensities, turn, shift, (0, 0))
        image, depth = make_tree.render(model, subject.atlas, head, light, WIDTH, HEIGHT, rng)
        cv2.imwrite(str(folder / f"{frame}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        make_tree.write_obj(folder / f"{frame}.obj", model, head, depth, f"{frame}.jpg")
        pixels, _ = make_tree.project(head, WIDTH, HEIGHT)
        chin = model.verts[model.landmarks[8], 1] - 4
        vertices.append(pixels[:FRONT][model.verts[:FRONT, 1] > chin])
        points.append(pixels[model.landmarks[POINTS]])
    return np.array(vertices), np.array(points)


def track_mesh(folder: Path) -> np.ndarray:
    """Return the track of photos with meshes."""
    tracker = FaceTracker()
    files = [folder / str(frame) for frame in range(FRAMES)]
    squares = []
    for file in files:
        photo = Photo.read(file.with_suffix(".jpg"))
        mesh = locate(read_obj(file.with_suffix(".obj")), (photo.height, photo.width))
        squares.append(tracker.locate(photo, None if isinstance(mesh, str) else mesh)[0])
    return np.array(squares)


def holds(track: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Return whether the crop of each frame holds all vertices."""
    if np.isnan(track).all():
        return np.zeros(len(track), bool)
    transforms = [crops.crop_transform(square, 1) for square in crops.smooth_track(track, np.arange(len(track)))]
    inside = [v @ t[:, :2].T + t[:, 2] for v, t in zip(vertices, transforms, strict=True)]
    return np.array([(v >= 0).all() and (v <= 1).all() for v in inside])


def main(model: str, subjects: int = 22) -> None:
    """Print the table."""
    sys.path.insert(0, model)
    make_tree = importlib.import_module("make_tree")
    names = [make_tree.SUBJECTS[i * len(make_tree.SUBJECTS) // subjects] for i in range(subjects)]
    rows = []
    for scene in SCENES:
        shares: dict[str, list[np.ndarray]] = {"landmarks": [], "mesh": [], "detector": []}
        for name in names:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                vertices, points = render(make_tree, name, scene, folder)
                photos = [Photo.read(folder / f"{frame}.jpg") for frame in range(FRAMES)]
                shares["landmarks"].append(holds(face_track(points), vertices))
                shares["mesh"].append(holds(track_mesh(folder), vertices))
                shares["detector"].append(holds(face_detection.track(photos), vertices))
        rows.append([scene, *(f"{np.mean(share):.1%}" for share in shares.values())])
        print(rows[-1], flush=True)
    print(tabulate(rows, ["scene", *shares], tablefmt="github"))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
