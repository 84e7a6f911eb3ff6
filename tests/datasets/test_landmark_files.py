import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from aubench.core.errors import DataError, UsageError
from aubench.datasets.bp4d.landmark_files import (
    dereference_points,
    face_track,
    landmark_file,
    landmarks_in_crop,
    read_landmarks,
    square_around,
)


def face() -> np.ndarray:
    """49 points of a face seen from the front: eyes 60 apart, mouth 66 below them."""
    points = np.zeros((49, 2))
    points[:10] = np.stack([np.linspace(-50, 50, 10), np.full(10, -20)], 1)
    points[10:19] = np.stack([np.zeros(9), np.linspace(0, 40, 9)], 1)
    circle = np.stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3)], 1)
    points[19:25], points[25:31] = circle * [12, 4] + [-30, 0], circle * [12, 4] + [30, 0]
    points[31:] = np.stack([np.linspace(-25, 25, 18), np.full(18, 66)], 1)
    return points


def test_the_square_of_a_frontal_face_reaches_from_forehead_to_chin() -> None:
    column, row, side, angle = square_around(face())
    assert (column, angle) == (pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9))
    assert row - side / 2 < -55  # above the brows
    assert 95 < row + side / 2 < 130  # below the mouth by a chin


@pytest.mark.slow
@given(st.floats(-1.5, 1.5), st.floats(0.2, 5), st.floats(-500, 500), st.floats(-500, 500))
def test_the_square_moves_with_the_face(angle, scale, right, down) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    still, moved = square_around(face()), square_around(face() @ turn.T + [right, down])
    assert np.allclose(moved[:2], turn @ still[:2] + [right, down], atol=1e-6)
    assert moved[2] == pytest.approx(scale * still[2])
    assert moved[3] == pytest.approx(angle, abs=1e-9)


def test_a_turned_head_keeps_its_size() -> None:
    assert square_around(face() * [0.6, 1])[2] == pytest.approx(square_around(face())[2], rel=0.02)


@pytest.mark.parametrize("nose", [-25, 25])
def test_the_square_of_a_turned_head_holds_the_cheek(nose: int) -> None:
    points = face()
    points[13, 0] += nose
    straight, turned = square_around(face()), square_around(points)
    assert (turned[0] - straight[0]) * np.sign(nose) < -0.1 * straight[2]
    assert turned[2] > 1.05 * straight[2]


def test_each_frame_takes_its_own_points_and_lost_ones_none() -> None:
    content = {"a": face().T, "b": np.zeros((2, 1)), "c": face() + 100, "d": np.full((2, 49), np.nan)}
    content |= {"e": np.full((2, 49), -1.0), "f": np.zeros((2, 49))}
    points = dereference_points(content, np.array([[*"abcdef"]]), [1, 2, 3, 4, 5, 6, 7, 0])
    assert np.allclose(points[0], face())
    assert np.allclose(points[2], face() + 100)
    assert np.isnan(points[[1, *range(3, 8)]]).all()


def test_squares_follow_the_points_and_lost_frames_have_none() -> None:
    squares = face_track(np.stack([face(), np.full((49, 2), np.nan), face() + 100]))
    assert np.isnan(squares[1]).all()
    assert np.allclose(squares[2], squares[0] + [100, 100, 0, 0])
    assert face_track(np.empty((0, 49, 2))).shape == (0, 4)


def test_points_within_a_square_go_from_0_to_1_along_its_sides() -> None:
    side, angle = 80.0, 0.3
    along = side * np.array([np.cos(angle), np.sin(angle)])
    down = side * np.array([-np.sin(angle), np.cos(angle)])
    corner = np.array([200.0, 300.0])
    points = np.full((1, 49, 2), np.nan)
    points[0, :4] = [corner, corner + along, corner + 0.25 * along + 0.5 * down, corner - down]
    centre = corner + (along + down) / 2
    placed = landmarks_in_crop(points, np.array([[*centre, side, angle]]))
    assert placed.dtype == np.float32
    assert np.allclose(placed[0, :4], [[0, 0], [1, 0], [0.25, 0.5], [0, -1]], atol=1e-6)
    assert np.isnan(placed[0, 4:]).all()


def test_eyes_of_a_levelled_crop_are_level() -> None:
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    points = (3 * face() @ turn.T + [500, 700])[None]
    (placed,) = landmarks_in_crop(points, face_track(points))
    left, right = placed[19:25].mean(0), placed[25:31].mean(0)
    assert left[1] == pytest.approx(right[1], abs=1e-6)
    assert (left[0] + right[0]) / 2 == pytest.approx(0.5, abs=1e-6)
    assert placed.min() > 0 and placed.max() < 1


def test_without_h5py_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"needs h5py; pip install 'aubench\[landmarks\]'"):
        read_landmarks(Path("F001_T1.mat"), [1])


def test_reads_a_delivered_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "F001_T1.mat", "w") as file:
        datasets = [file.create_dataset(f"#refs#/{i}", data=face().T + 10 * i) for i in range(3)]
        references = file.create_dataset("fit/pred", (3, 1), dtype=h5py.ref_dtype)
        references[:, 0] = [dataset.ref for dataset in datasets]
    points = read_landmarks(tmp_path / "F001_T1.mat", [3, 1])
    assert np.allclose(points, np.stack([face() + 20, face()]))


def test_another_file_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "text.mat").write_text("no")
    with h5py.File(tmp_path / "other.mat", "w") as file:
        file["fit"] = 1
    for name in ("text.mat", "other.mat", "missing.mat"):
        with pytest.raises(DataError, match=f"{name}: is not a 49-point file"):
            read_landmarks(tmp_path / name, [1])


def write_matlab_5(path: Path, faces: list[np.ndarray], numbers: list[int], field: str = "pts_2d") -> None:
    fit = np.zeros((1, len(faces)), dtype=[("frame", object), (field, object)])
    for i, (points, number) in enumerate(zip(faces, numbers, strict=True)):
        fit[0, i] = (number, points)
    savemat(path, {"fit": fit})


@pytest.mark.parametrize("field", ["pts_2d", "pred"])
def test_reads_a_file_of_another_matlab_version(tmp_path: Path, field: str) -> None:
    write_matlab_5(tmp_path / "F001_T1.mat", [face(), np.empty((0, 0)), face() + 20], [1, 2, 4], field)
    points = read_landmarks(tmp_path / "F001_T1.mat", [4, 2, 1, 3])
    assert np.allclose(points[[0, 2]], [face() + 20, face()])
    assert np.isnan(points[[1, 3]]).all()


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (np.ones((66, 2)), "array of 66 x 2 numbers, not 49 x 2"),
        (np.ones((68, 2)), "array of 68 x 2 numbers"),
        (np.ones((49, 3)), "array of 49 x 3 numbers"),
        (np.ones((1, 98)), "array of 1 x 98 numbers"),
        (face() / 300, "not those of the 49-point tracker in pixels"),
        (face()[:, ::-1] + 300, "not those of the 49-point tracker in pixels"),
        (face()[::-1] + 300, "not those of the 49-point tracker in pixels"),
    ],
    ids=["66", "68", "3d", "flat", "unit", "rows first", "order"],
)
def test_points_of_another_tracker_are_refused_and_not_lost(tmp_path: Path, points: np.ndarray, says: str) -> None:
    write_matlab_5(tmp_path / "F001_T1.mat", [points] * 3, [1, 2, 3])
    with pytest.raises(DataError, match=f"F001_T1.mat: .*{says}"):
        read_landmarks(tmp_path / "F001_T1.mat", [1, 2, 3])


def test_66_points_in_hdf5_are_refused_and_not_lost(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="array of 2 x 66 numbers"):
        dereference_points({"a": np.ones((2, 66))}, np.array(["a"]), [1])


def test_arrays_of_any_size_in_a_small_hdf5_file_are_not_read(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "F001_T1.mat"
    faults = {"fit/points": "a frame has an array of 100000 x 100000 numbers", "fit/pred": "10000000000 frames"}
    for name, says in faults.items():
        with h5py.File(path, "w") as file:
            large = file.create_dataset(name, (100_000, 100_000), "f8", chunks=(1000, 1000), compression="gzip")
            if "fit/pred" not in file:
                file["fit/pred"] = np.array([[large.ref]], h5py.ref_dtype)
        with pytest.raises(DataError, match=says):
            read_landmarks(path, [1])


def test_damaged_matlab_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "F001_T1.mat"
    write_matlab_5(path, [face()] * 3, [1, 2, 3])
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for i in range(60):
        damaged = bytearray(content[: rng.integers(10, len(content))] if i % 2 else content)
        for position in rng.integers(10, len(damaged), 4):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            points = read_landmarks(path, [1, 2, 3])
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert points.shape == (3, 49, 2)


def test_landmark_files_are_found_in_any_case(tmp_path: Path) -> None:
    assert landmark_file(tmp_path, "F001", "T1") == tmp_path / "F001_T1.mat"
    (tmp_path / "f001-t01.MAT").touch()
    (tmp_path / "F001_T11.mat").touch()
    assert landmark_file(tmp_path, "F001", "T1") == tmp_path / "f001-t01.MAT"
