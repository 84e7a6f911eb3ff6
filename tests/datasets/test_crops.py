import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aubench.faces.crops import (
    GrowingTrack,
    crop_square,
    crop_transform,
    score_track,
    smooth_track,
    without_outliers,
)

NAN = [np.nan] * 4


def dot(column: float, row: float, height: int = 300, width: int = 200) -> np.ndarray:
    """A soft bright dot in the dark."""
    y, x = np.mgrid[0:height, 0:width]
    light = 250 * np.exp(-((x + 0.5 - column) ** 2 + (y + 0.5 - row) ** 2) / 16)
    return light.astype(np.uint8)[..., None].repeat(3, 2)


@pytest.mark.slow
@given(st.floats(20, 80), st.floats(20, 80), st.floats(10, 300), st.floats(-3, 3), st.integers(16, 256))
def test_the_corners_of_the_square_become_the_corners_of_the_crop(column, row, side, angle, size) -> None:
    right = np.array([np.cos(angle), np.sin(angle)]) * side / 2
    down = np.array([-right[1], right[0]])
    corners = np.add([column, row], [-right - down, right - down, right + down])
    turn = crop_transform(np.array([column, row, side, angle]), size)
    there = corners @ turn[:, :2].T + turn[:, 2]
    assert np.allclose(there, [[0, 0], [size, 0], [size, size]], atol=1e-6 * size)


@pytest.mark.parametrize("side", [40.0, 64.0, 101.5, 170.0])
@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_pixels_go_where_the_transform_says(side: float, angle: float) -> None:
    square = np.array([92.3, 140.8, side, angle])
    crop = crop_square(dot(100, 150), square, 64)[..., 0].astype(float)
    turn = crop_transform(square, 64)
    expected = turn[:, :2] @ [100, 150] + turn[:, 2]
    y, x = np.mgrid[0:64, 0:64] + 0.5
    centroid = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
    assert np.abs(centroid - expected).max() < 0.1


def test_a_square_of_whole_pixels_is_copied() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    assert (crop_square(image, np.array([30.0, 20.0, 32.0, 0.0]), 32) == image[4:36, 14:46]).all()


def test_shrinking_averages() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(crop_square(stripes, np.array([128.0, 128.0, 256.0, 0.0]), 64).astype(int) - 100).max() <= 1


def test_outside_the_photo_is_black() -> None:
    crop = crop_square(np.full((40, 40, 3), 200, np.uint8), np.array([0.0, 20.0, 40.0, 0.0]), 40)
    assert (crop[:, :18] == 0).all()
    assert (crop[:, 22:] == 200).all()


def test_a_still_face_stays() -> None:
    track = np.tile([50.0, 60.0, 100.0, 0.1], (9, 1))
    assert np.allclose(smooth_track(track, np.arange(9)), track)


@pytest.mark.parametrize("columns", [[200, 100], [100, 200], [400, 300, 200, 100], [10, 110, 210, 310]])
def test_the_squares_of_a_short_sequence_follow_its_face(columns: list[int]) -> None:
    track = still_face(len(columns))
    track[:, 0] = columns
    smooth = smooth_track(track, np.arange(len(columns)))
    assert np.abs(smooth[:, 0] - columns).max() < 0.061 * 80
    assert np.allclose(smooth[:, 2], 80)


def test_gaps_are_filled_from_their_neighbours_in_time() -> None:
    track = np.array([NAN, [10.0, 0, 100, 0], NAN, [40.0, 0, 100, 0], NAN])
    frames = np.array([1, 2, 4, 5, 6])
    filled = smooth_track(track, frames)
    assert np.isfinite(filled).all()
    assert 10 <= filled[:, 0].min() <= filled[:, 0].max() <= 40
    assert np.allclose(filled[:, 2], 100)
    assert (np.diff(filled[:, 0]) >= 0).all()


def test_one_wrong_find_leaves_no_trace() -> None:
    track = np.tile([50.0, 60.0, 100.0, 0.0], (15, 1))
    track[7] = [90, 20, 160, 0]
    assert np.allclose(smooth_track(track, np.arange(15)), [50, 60, 100, 0])


def test_trembling_is_damped_and_motion_followed() -> None:
    rng = np.random.default_rng(1)
    path = np.linspace(100, 200, 100)
    track = np.stack([path + rng.normal(0, 2, 100), np.full(100, 80.0), 100 + rng.normal(0, 4, 100), np.zeros(100)], 1)
    smooth = smooth_track(track, np.arange(100))
    inner = slice(10, 90)
    assert np.abs(smooth[inner, 0] - path[inner]).max() < 3
    assert np.diff(smooth[:, 2]).std() < np.diff(track[:, 2]).std() / 10


@pytest.mark.parametrize("angle", [0.0, 0.3, -0.7])
@pytest.mark.parametrize("centre", [(120.0, 160.0), (20.0, 300.0), (-90.0, 160.0), (999.0, -999.0)])
def test_a_crop_does_not_depend_on_the_photo_around_it(centre: tuple[float, float], angle: float) -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (320, 240, 3), np.uint8), (9, 9), 3)
    square = np.array([*centre, 130.0, angle])
    padded = cv2.copyMakeBorder(image, 260, 260, 260, 260, cv2.BORDER_CONSTANT)
    shifted = np.add(square, [260, 260, 0, 0])
    assert np.abs(crop_square(image, square, 64).astype(int) - crop_square(padded, shifted, 64)).mean() < 1.5


def still_face(frames: int) -> np.ndarray:
    return np.tile([100.0, 120.0, 80.0, 0.0], (frames, 1))


def test_a_face_that_moves_aside_for_a_third_of_the_sequence_stays_in_its_square() -> None:
    track = still_face(30)
    track[10:20, 0] += 51
    assert np.abs(smooth_track(track, np.arange(30))[:, 0] - track[:, 0]).max() < 0.07 * 80


def test_a_run_of_wrong_detections_leaves_no_trace() -> None:
    track = still_face(40)
    track[12:18] = [10, 300, 60, 0]
    assert np.isnan(without_outliers(track)[:, 0]).nonzero()[0].tolist() == [*range(12, 18)]
    assert np.allclose(smooth_track(track, np.arange(40)), still_face(40))


def test_the_square_is_large_enough_while_the_mouth_opens_and_closes() -> None:
    track = still_face(50)
    track[:, 2] *= 1 + 0.06 * (1 - np.cos(np.arange(50) / 2))
    assert (smooth_track(track, np.arange(50))[:, 2] > 0.97 * track[:, 2]).all()


def random_track(seed: int, frames: int) -> np.ndarray:
    """A face that moves, with outliers, single lost frames and long gaps."""
    rng = np.random.default_rng(seed)
    track = still_face(frames) + np.cumsum(rng.normal(0, 2, (frames, 4)), axis=0) * [1, 1, 0.02, 0.001]
    track[rng.random(frames) < rng.choice([0, 0.1, 0.3]), :2] += 200
    track[rng.random(frames) < rng.choice([0, 0.3, 0.9])] = np.nan
    for start in rng.integers(0, frames, 2):
        track[start : start + rng.integers(1, 80)] = np.nan
    track[rng.integers(frames)] = still_face(1)
    return track


def settled(track: np.ndarray) -> int:
    """Number of first rows that later ones do not change, from all rows."""
    judged = np.flatnonzero(~np.isnan(track[:, 0]))[:-8]
    accepted = judged[~np.isnan(without_outliers(track)[judged, 0])]
    return max(int(accepted[-1]) - 23, 0) if len(accepted) else 0


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 20))
def test_a_growing_track_is_smoothed_as_from_all_of_its_rows(seed: int, frames: int, chunk: int) -> None:
    track, numbers = random_track(seed, frames), np.cumsum(np.random.default_rng(seed).integers(1, 3, frames))
    growing, done = GrowingTrack(track, numbers), 0
    for end in [*range(chunk, frames, chunk), frames]:
        ready = frames if end == frames else settled(track[:end])
        ready = max(ready, done) if np.isfinite(track[:end]).any() else done
        expected = smooth_track(track[:end], numbers[:end])[done:ready] if ready > done else np.empty((0, 4))
        assert growing.next_squares(end).tobytes() == expected.tobytes()
        done = ready


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(1, 120))
def test_squares_are_returned_only_when_later_frames_cannot_change_them(seed: int, frames: int) -> None:
    track, numbers = random_track(seed, frames), np.arange(frames)
    growing = GrowingTrack(track, numbers)
    parts = [growing.next_squares(end) for end in [*range(1, frames, 5), frames]]
    assert np.allclose(np.concatenate(parts), smooth_track(track, numbers))


def test_a_long_sequence_settles_before_its_end() -> None:
    assert len(GrowingTrack(still_face(300), np.arange(300)).next_squares(200)) > 150


def test_scores_fall_with_the_distance_from_a_detection() -> None:
    track = still_face(60)
    track[20:50] = np.nan
    scores = score_track(track, smooth_track(track, np.arange(60)), np.arange(60))
    assert (scores[:20] == 100).all()
    assert 40 < scores[20] <= 50
    assert scores[34] == scores.min() < 25
    track[5] += [300, 0, 0, 0]
    assert score_track(track, smooth_track(track, np.arange(60)), np.arange(60))[5] <= 50
