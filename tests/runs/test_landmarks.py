"""Facial points from a delivery to a training batch: they lie on what they lay on in the photo."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import bp4d
from factories.bp4d import prepare_bp4d
from factories.protocols import two_folds

from aubench.core.landmarks import COUNT
from aubench.core.task import Batch, Modality
from aubench.data.store import Store
from aubench.methods.temt_net import TEMTNet
from aubench.runs.config import RunConfig
from aubench.runs.fold import run_fold

EYES, MOUTH = (19, 28), 40
COLOURS = {19: (255, 30, 30), 28: (30, 255, 30), MOUTH: (30, 30, 255)}
"""Of dots on the outer eye corners and below the lips."""

PROTOCOL = two_folds("three", "bp4d", ("F001", "F002"), ("M009",))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of nothing but three dots, where the 49-point files say; the points of frame 2 are lost.

    The head moves to and fro more quickly than the crop follows.
    """
    pytest.importorskip("h5py")
    root = tmp_path_factory.mktemp("dots")
    delivery = bp4d.Delivery(root / "BP4D")
    for i, subject in enumerate(("F001", "F002", "M009")):
        for task in ("T1", "T2"):
            points = np.stack(
                [bp4d.make_points_49(98.0 + 4 * i + 6 * (n % 2), 120.0 + 2 * n, 44.0 - i) for n in range(4)]
            )
            for n, face in enumerate(points):
                bp4d.write_photo(delivery.task(subject, task) / f"{n + 1:04}.jpg", photo(face))
                bp4d.write_dome(delivery.task(subject, task) / f"{n + 1:04}.obj", 104, 140, 104)
            points[1] = np.nan
            bp4d.write_landmarks(root / "2DFeatures" / f"{subject}_{task}.mat", points)
            bp4d.write_codes(delivery.codes(subject, task), range(1, 5), i)
    path = root / "store"
    prepare_bp4d(delivery.root, path, size=64, landmarks=root / "2DFeatures", workers=1)
    return path


def photo(points: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): a dark wall with a dot on some of the points."""
    image = np.full((bp4d.HEIGHT, bp4d.WIDTH, 3), 30, np.uint8)
    rows, columns = np.mgrid[0 : bp4d.HEIGHT, 0 : bp4d.WIDTH] + 0.5
    for point, colour in COLOURS.items():
        image[np.hypot(columns - points[point, 0], rows - points[point, 1]) < 3.5] = colour
    return image


@pytest.fixture
def config_for(decide, store, tmp_path) -> Callable[..., RunConfig]:
    protocol = tmp_path / "three.toml"
    protocol.write_text(PROTOCOL)
    settings = {"protocol": str(protocol), "store": store, "selection": "last", "epochs": 3, "batch_size": 8}
    return partial(decide, tmp_path / "runs", **settings)


def trained_on(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The batches that the method met."""
    met, method = [], config.entry.method_class
    loss = method.loss

    def look(self, batch, stage, progress):
        met.append(batch)
        return loss(self, batch, stage, progress)

    monkeypatch.setattr(method, "loss", look)
    run_fold(config, 1, "cpu", 0, lambda event: None)
    return met


def dot(view: torch.Tensor, channel: int) -> torch.Tensor:
    """Column and row, -1 to 1, of the middle of the dot of a colour: (2,)."""
    excess = view[channel] - view.sum(0).sub(view[channel]) / 2
    weight = (excess - 0.5).clamp(min=0)
    at = (torch.arange(view.shape[-1]) + 0.5) / view.shape[-1] * 2 - 1
    return torch.stack([(weight.sum(0) * at).sum(), (weight.sum(1) * at).sum()]) / weight.sum()


@pytest.mark.slow
def test_points_lie_where_they_lay_in_the_photo_also_in_a_mirror(config_for, monkeypatch) -> None:
    config = config_for("temt_net")
    pixel, mirrored = 2 / 56, []
    batches = trained_on(config, monkeypatch)
    for batch in batches:
        assert batch.landmarks.shape == (8, COUNT, 2)
        for view, points in zip(batch.inputs[Modality.VISUAL], batch.landmarks, strict=True):
            if points.isnan().any():
                assert points.isnan().all()
                continue
            red, green, blue = (dot(view, channel) for channel in range(3))
            mirrored.append(bool(red[0] > green[0]))
            left, right = (green, red) if mirrored[-1] else (red, green)
            for point, where in zip((*EYES, MOUTH), (left, right, blue), strict=True):
                assert torch.dist(points[point], where) < pixel
    lost = sum(int(batch.landmarks.isnan().all((1, 2)).sum()) for batch in batches)
    assert lost == 3 * 4  # one frame of each of the four sequences, in each epoch
    assert any(mirrored) and not all(mirrored)
    epochs = (config.fold_dir(1) / "epochs.jsonl").read_text().splitlines()
    assert all(json.loads(line)["loss"]["landmarks"] > 0 for line in epochs)


@pytest.mark.slow
def test_nobody_reads_points_of_frames_that_are_not_trained_on(config_for, monkeypatch) -> None:
    read = Store.landmarks

    def guarded(self, frames):
        assert set(self.frames["subject"].iloc[np.asarray(frames)]) <= {"F001", "F002"}
        return read(self, frames)

    monkeypatch.setattr(Store, "landmarks", guarded)
    assert trained_on(config_for("temt_net"), monkeypatch)


@pytest.mark.slow
def test_a_method_that_does_not_want_points_gets_none(config_for, monkeypatch) -> None:
    monkeypatch.setattr(Store, "landmarks", lambda *_: pytest.fail("points were read"))
    config = config_for("resnet_visual")
    assert config.task.landmarks == 0
    assert all(batch.landmarks is None for batch in trained_on(config, monkeypatch))


def test_without_points_in_the_store_the_method_goes_without(decide, small_store, tmp_path) -> None:
    config = decide(tmp_path, "temt_net")
    assert config.task.landmarks == Store(small_store).landmark_count == 0
    assert isinstance(config.build_method(), TEMTNet) and not hasattr(config.build_method(), "regressor")
