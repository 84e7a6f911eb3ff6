import numpy as np
import pytest

from aubench.faces import face_detection


@pytest.mark.parametrize("place", [(104, 140, 110), (90, 150, 100), (110, 130, 120)])
def test_finds_a_drawn_face_where_it_is(take_photo, place) -> None:
    ((column, row, width),) = face_detection.detect(take_photo(place))
    assert abs(column - place[0]) < 0.05 * place[2]
    assert abs(row - place[1]) < 0.05 * place[2]
    assert 0.9 < width / place[2] < 1.4


def test_finds_no_face_on_a_wall(take_photo) -> None:
    assert face_detection.detect(take_photo()).shape == (0, 3)


def test_tracks_one_square_a_photo_and_nothing_where_no_face_is(take_photo) -> None:
    track = face_detection.follow_face([take_photo((100, 140, 110)), take_photo(), take_photo((104, 140, 110))])[0]
    assert np.isnan(track[1]).all()
    assert np.isfinite(track[[0, 2]]).all()
    assert track[2, 0] > track[0, 0]
    assert (track[[0, 2], 3] == 0).all()


def test_no_face_at_all_is_all_nan(take_photo) -> None:
    assert np.isnan(face_detection.follow_face([take_photo(), take_photo()])[0]).all()


def test_follows_the_usual_face_past_other_boxes(monkeypatch, take_photo) -> None:
    boxes = [[[100, 140, 110]], [[30, 40, 60], [101, 140, 108]], [[30, 40, 60]], [[102, 141, 300]]]
    detections = iter([np.array(b, float) for b in boxes])
    monkeypatch.setattr(face_detection, "detect", lambda photo: next(detections))
    track = face_detection.follow_face([take_photo()] * 4)[0]
    assert track[:2, 0].tolist() == [100, 101]
    assert np.isnan(track[2:]).all()


@pytest.fixture
def detected(monkeypatch, take_photo):
    """Return a function that tracks detections of photos, given as boxes (column, row, width) of each."""

    def track(boxes: list[list[list[float]]], photos=None) -> np.ndarray:
        detections = iter([np.array(b, float).reshape(-1, 3) for b in boxes])
        monkeypatch.setattr(face_detection, "detect", lambda photo: next(detections))
        monkeypatch.setattr(face_detection, "detect_profiles", lambda photo: np.empty((0, 3)))
        return face_detection.follow_face(photos or [take_photo()] * len(boxes))[0]

    return track


def test_a_face_that_leans_aside_for_a_third_of_the_sequence_is_followed(detected) -> None:
    columns = np.repeat([100, 152, 100], 10)
    track = detected([[[column, 140, 110]] for column in columns])
    assert np.array_equal(track[:, 0], columns)


def test_ears_do_not_outvote_the_face(detected) -> None:
    frames = [[[100, 140, 110]]] * 8 + [[[150, 130, 62]]] * 12
    track = detected(frames)
    assert np.allclose(track[:8, 0], 100)
    assert np.isnan(track[8:]).all()


def test_a_poster_is_no_face_although_it_is_seen_more_often(detected) -> None:
    face, poster = [100, 140, 110], [20, 40, 60]
    track = detected([[poster, face] if i % 3 else [poster] for i in range(30)])
    assert (track[np.isfinite(track[:, 0]), 0] == 100).all()
    assert np.isfinite(track[:, 0]).sum() == 20


@pytest.mark.parametrize("chin", [0.60, 0.69, 0.83])
def test_the_chin_is_in_the_square_with_the_jaw_dropped(detected, chin: float) -> None:
    """On 22 scanned faces, the chin is 0.60 box widths below the middle of the detector's box, 0.83 with open mouth."""
    ((column, row, side, _),) = detected([[[100, 140, 110]]])
    assert row + side / 2 > 140 + chin * 110
    assert row - side / 2 < 140 - 0.47 * 110
    assert side / 2 > 0.5 * 110
    assert column == 100


@pytest.mark.slow
def test_optical_flow_follows_a_face_that_the_detector_loses(detected, take_photo) -> None:
    photos = [take_photo((90 + 3 * i, 140, 110)) for i in range(8)]
    track = detected([[[90, 140, 140]]] + [[]] * 7, photos)
    assert np.abs(track[:, 0] - (90 + 3 * np.arange(8))).max() < 3
    assert np.allclose(track[:, 2], track[0, 2])


def test_no_turned_head_is_on_a_wall(take_photo) -> None:
    assert face_detection.detect_profiles(take_photo()).shape == (0, 3)


def random_squares(seed: int, photos: int, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw rows, squares and gains of photos with up to some squares each, of which a fifth is elsewhere."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(photos), rng.integers(0, most + 1, photos))
    squares = np.stack([*rng.normal(500, 10, (2, len(rows))), rng.normal(200, 10, len(rows)), 0.0 * rows], axis=1)
    squares[rng.random(len(rows)) < 0.2, :2] += 300
    return rows, np.round(squares / 10) * 10, rng.choice([1, 0.5, 0.3], len(rows))


def chain_from_all(rows: np.ndarray, squares: np.ndarray, gains: np.ndarray) -> list[int]:
    """Return the chain with the greatest sum from the moves of all pairs."""
    totals, chains = list(gains), [[i] for i in range(len(rows))]
    for i in range(len(rows)):
        earlier = np.flatnonzero(rows < rows[i])
        if len(earlier):
            costs = face_detection._move_costs(squares[earlier], rows[earlier], squares[i], rows[i])
            best = int((np.array(totals)[earlier] - costs).argmax())
            if totals[earlier[best]] > costs[best]:
                totals[i] += totals[earlier[best]] - costs[best]
                chains[i] = [*chains[earlier[best]], i]
    return chains[int(np.argmax(totals))]


@pytest.mark.parametrize("seed", range(8))
def test_the_chain_is_the_best_of_all_moves(seed: int) -> None:
    values = random_squares(seed, 100, 1 + seed % 3)
    assert face_detection._best_chain(*values) == chain_from_all(*values)


def test_moves_from_few_squares_are_compared_in_long_videos(monkeypatch) -> None:
    counts = []
    costs = face_detection._move_costs

    def count(squares: np.ndarray, *others: object) -> np.ndarray:
        counts.append(len(squares))
        return costs(squares, *others)

    monkeypatch.setattr(face_detection, "_move_costs", count)
    face_detection._best_chain(*random_squares(0, 2000, 1))
    assert max(counts) < 100
