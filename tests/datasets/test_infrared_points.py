import random
from pathlib import Path

import numpy as np
import pytest

from aubench.core.errors import DataError
from aubench.core.landmarks import MIRRORED
from aubench.datasets.bp4dplus.infrared_points import SHARED, read_infrared_points, register, thermal_square
from aubench.faces.crops import crop_transform
from tests.factories.bp4d import make_points_49
from tests.factories.bp4dplus import SHIFT, TURN, infrared_line


def pairs(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return infrared points and 49 points of frames whose face moves, related by TURN and SHIFT."""
    points = np.stack([make_points_49(104.0 + n, 120.0 + n % 3, 42.0) for n in range(frames)])
    infrared = np.full((frames, 28, 2), np.nan)
    for number, rows in SHARED.items():
        thermal = (points[:, rows].mean(axis=1) @ [1, 1j] - SHIFT) / TURN
        infrared[:, number - 1] = np.stack([thermal.real, thermal.imag], axis=1)
    return infrared, points


def test_the_points_of_a_frame_are_on_its_line(tmp_path: Path) -> None:
    path = tmp_path / "F001_T1.txt"
    path.write_text(
        "\r\n".join([infrared_line(0), " ".join(["0"] * 56), "\t".join(map(str, range(1, 57)))]) + "\r\n\r\n"
    )
    points = read_infrared_points(path)
    assert points.shape == (3, 28, 2)
    assert np.isnan(points[1]).all()
    assert points[2].tolist() == [[n, n + 1] for n in range(1, 57, 2)]


def test_a_single_lost_point_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "F001_T1.txt"
    path.write_text("0,0," + ",".join(["3.5"] * 54))
    points = read_infrared_points(path)
    assert np.isnan(points[0, 0]).all() and (points[0, 1:] == 3.5).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cells: cells[:-1], "2: the line has 55 numbers, not 56"),
        (lambda cells: [*cells, "1"], "2: the line has 57 numbers, not 56"),
        (lambda cells: ["nan", *cells[1:]], "2: 'nan' is not a number"),
        (lambda cells: ["12O", *cells[1:]], "2: '12O' is not a number"),
        (lambda cells: ["1e9", *cells[1:]], "2: a point is outside the picture of 726 × 480 pixels"),
        (lambda cells: ["-300", *cells[1:]], "2: a point is outside the picture"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "F001_T1.txt"
    path.write_text("\n".join([infrared_line(0), " ".join(change(infrared_line(1).split()))]))
    with pytest.raises(DataError, match=rf"F001_T1\.txt:{message}"):
        read_infrared_points(path)


def test_mutated_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    path, rng = tmp_path / "F001_T1.txt", random.Random(0)
    whole = "\n".join(map(infrared_line, range(4))).encode()
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content))
            content[at : at + rng.randint(0, 3)] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 3)))
        path.write_bytes(content)
        try:
            points = read_infrared_points(path)
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert points.shape[1:] == (28, 2) and not np.isinf(points).any()


def test_shared_points_are_the_same_parts_of_the_face() -> None:
    """The person's right is on the left of the photo: 10 to 13 there, 21 to 24 mirrored, 25 and 26 in the middle."""
    face = make_points_49(0.0, 0.0, 1.0)
    x, y = np.array([face[list(rows)].mean(axis=0) for rows in SHARED.values()]).T
    at = dict(zip(SHARED, zip(x, y, strict=True), strict=True))
    for right, left in ((10, 21), (11, 22), (12, 23), (13, 24)):
        assert at[right][0] < 0 and np.allclose(at[left], np.array(at[right]) * [-1, 1])
        assert [MIRRORED[row] for row in SHARED[right]] in (list(SHARED[left]), list(SHARED[left])[::-1])
    assert np.allclose([at[25][0], at[26][0]], 0)
    nose, upper_middle, upper, corner, lower, lower_middle = (at[n][1] for n in (10, 25, 12, 11, 13, 26))
    assert nose < upper_middle < upper < corner < lower < lower_middle
    assert at[11][0] < at[12][0] < 0 and at[11][0] < at[10][0]


def test_the_similarity_of_both_pictures_is_found() -> None:
    similarities, fits = register(*pairs(9))
    assert fits.all()
    assert np.allclose(similarities, [TURN, SHIFT])


def test_noise_is_smoothed_over_time() -> None:
    infrared, points = pairs(60)
    infrared += np.random.default_rng(0).normal(0, 2, infrared.shape)
    similarities, fits = register(infrared, points)
    assert fits.all()
    face = (points[:, 34] @ [1, 1j] - SHIFT) / TURN
    error = np.abs(similarities[:, 0] * face + similarities[:, 1] - points[:, 34] @ [1, 1j])
    assert error.max() < 0.5  # pixels of the photo, 1.1 of noise in each point


def test_frames_without_points_have_no_registration_and_change_no_other() -> None:
    infrared, points = pairs(20)
    infrared[3], points[7] = np.nan, np.nan
    infrared[11, [number - 1 for number in list(SHARED)[:5]]] = np.nan
    similarities, fits = register(infrared, points)
    assert np.flatnonzero(~fits).tolist() == [3, 7, 11]
    assert np.allclose(similarities, [TURN, SHIFT])


def test_points_that_do_not_fit_have_no_registration() -> None:
    infrared, points = pairs(20)
    infrared[5] = infrared[5, ::-1]
    infrared[6] = 300.0
    mirrored = infrared * [-1, 1] + [700, 0]
    assert np.flatnonzero(~register(infrared, points)[1]).tolist() == [5, 6]
    similarities, fits = register(mirrored, points)
    assert not fits.any() and np.isnan(similarities).all()


def test_the_square_in_the_thermal_picture_shows_the_same() -> None:
    square = np.array([104.0, 120.0, 80.0, 0.2])
    in_thermal = thermal_square(square, np.array([TURN, SHIFT]))
    corner = 90 + 100j
    thermal = (corner - SHIFT) / TURN
    crops = [
        crop_transform(one, 64) @ [point.real, point.imag, 1]
        for one, point in ((square, corner), (in_thermal, thermal))
    ]
    assert np.allclose(*crops)
