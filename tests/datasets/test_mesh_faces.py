"""Tests of the search for the face in a mesh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aubench.faces.depth import LocatedMesh, locate
from aubench.faces.face_tracker import FaceTracker
from aubench.faces.mesh_faces import HeightMap
from aubench.faces.meshes import read_obj
from tests.factories.bp4d import write_dome, write_head

PHOTO = (348, 260)


def head(tmp_path, column: float = 130, row: float = 170, yaw: float = 0, **options: float) -> LocatedMesh:
    write_head(tmp_path / "head.obj", (column, row), yaw, PHOTO, **options)
    return locate(read_obj(tmp_path / "head.obj"), PHOTO)


@pytest.mark.parametrize("yaw", [-60, -30, 0, 30, 60])
def test_a_face_is_found_from_every_side(tmp_path, yaw: float) -> None:
    pose = HeightMap.of(head(tmp_path, yaw=yaw)).search()
    assert pose.is_face
    column, row, side, _ = pose.square
    assert abs(column - 130) < 0.2 * side
    assert abs(row - 170) < 0.2 * side
    assert side == pytest.approx(246 * 0.9, rel=0.02)


@pytest.mark.slow
def test_a_face_aside_is_found_aside(tmp_path) -> None:
    first = HeightMap.of(head(tmp_path)).search()
    second = HeightMap.of(head(tmp_path, column=182, row=150)).search()
    assert second.column - first.column == pytest.approx(52, abs=3)
    assert second.row - first.row == pytest.approx(-20, abs=3)


def test_a_search_near_the_last_face_finds_the_same(tmp_path) -> None:
    heights = HeightMap.of(head(tmp_path, yaw=15))
    pose = heights.search()
    assert heights.search(pose)[:2] == pytest.approx(pose[:2], abs=0.1)
    assert heights.search(np.array([pose.column + 9, pose.row - 9]))[:2] == pytest.approx(pose[:2], abs=0.1)
    assert heights.search(np.array([-500.0, 900.0])) is None


def test_a_mesh_in_another_unit_needs_little_memory(tmp_path) -> None:
    of_head = head(tmp_path)
    mesh = replace(of_head.mesh, vertices=of_head.mesh.vertices * [1000, 1000, 0.1])
    heights = HeightMap.of(locate(mesh, PHOTO))
    assert heights.heights.size < 1e5


def test_a_dome_is_no_face(tmp_path) -> None:
    write_dome(tmp_path / "dome.obj", 104, 140, 110, grid=60)
    assert not HeightMap.of(locate(read_obj(tmp_path / "dome.obj"), (278, 208))).search().is_face


def test_a_mesh_without_texture_tells_no_position(tmp_path) -> None:
    lines = ["v 0 0 -1200", "v 9 0 -1200", "v 0 9 -1200", "f 1 2 3"]
    (tmp_path / "bare.obj").write_text("\n".join(lines) + "\n")
    assert isinstance(locate(read_obj(tmp_path / "bare.obj"), PHOTO), str)


@pytest.mark.slow
def test_the_face_of_a_mesh_is_followed_where_the_detector_sees_ears(tmp_path, take_photo, monkeypatch) -> None:
    ear = np.array([[200.0, 160.0, 130.0, 0.0]])
    monkeypatch.setattr("aubench.faces.face_tracker.detect_squares", lambda photo: ear)
    photo = take_photo()
    object.__setattr__(photo, "height", PHOTO[0])
    object.__setattr__(photo, "width", PHOTO[1])
    tracker = FaceTracker()
    for step in range(5):
        square, source = tracker.locate(photo, head(tmp_path, column=120 + 5 * step, yaw=12 * step))
        assert source == "mesh"
        assert abs(square[0] - (120 + 5 * step)) < 0.2 * square[2]


def test_the_detector_decides_without_a_mesh(take_photo) -> None:
    square, source = FaceTracker().locate(take_photo((104, 140, 110)), None)
    assert source == "detector"
    assert abs(square[0] - 104) < 6
    square, source = FaceTracker().locate(take_photo(), None)
    assert source == ""
    assert np.isnan(square).all()
