import numpy as np
import pytest

from aubench.datasets.bp4d import face_detection


@pytest.mark.parametrize("place", [(104, 140, 110), (90, 150, 100), (110, 130, 120)])
def test_finds_a_drawn_face_where_it_is(take_photo, place) -> None:
    ((column, row, width),) = face_detection.detect(take_photo(place))
    assert abs(column - place[0]) < 0.05 * place[2]
    assert abs(row - place[1]) < 0.05 * place[2]
    assert 0.9 < width / place[2] < 1.4


def test_finds_no_face_on_a_wall(take_photo) -> None:
    assert face_detection.detect(take_photo()).shape == (0, 3)


def test_tracks_one_square_a_photo_and_nothing_where_no_face_is(take_photo) -> None:
    track = face_detection.track([take_photo((100, 140, 110)), take_photo(), take_photo((104, 140, 110))])
    assert np.isnan(track[1]).all()
    assert np.isfinite(track[[0, 2]]).all()
    assert track[2, 0] > track[0, 0]
    assert (track[[0, 2], 3] == 0).all()


def test_no_face_at_all_is_all_nan(take_photo) -> None:
    assert np.isnan(face_detection.track([take_photo(), take_photo()])).all()


def test_follows_the_usual_face_past_other_boxes(monkeypatch, take_photo) -> None:
    boxes = [[[100, 140, 110]], [[30, 40, 60], [101, 140, 108]], [[30, 40, 60]], [[102, 141, 300]]]
    detections = iter([np.array(b, float) for b in boxes])
    monkeypatch.setattr(face_detection, "detect", lambda photo: next(detections))
    track = face_detection.track([take_photo()] * 4)
    assert track[:2, 0].tolist() == [100, 101]
    assert np.isnan(track[2:]).all()
