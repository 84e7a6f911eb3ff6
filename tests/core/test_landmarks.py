import numpy as np
import pytest

from aubench.core import landmarks


@pytest.fixture
def face(points_49) -> np.ndarray:
    """(49, 2), symmetric about column 0."""
    return points_49(0.0, 0.0, 60.0)


def test_parts_have_the_positions_of_a_photo(face) -> None:
    left, right, mouth = (
        face[part].mean(axis=0) for part in (landmarks.LEFT_EYE, landmarks.RIGHT_EYE, landmarks.MOUTH)
    )
    assert left[0] < 0 < right[0] and left[1] == pytest.approx(right[1]) and mouth[1] > left[1]
    brows, eyes = face[:10], face[19:31]
    assert brows[:, 1].max() < eyes[:, 1].min()
    assert set(landmarks.OUTER_EYE_CORNERS) == {19 + int(eyes[:, 0].argmin()), 19 + int(eyes[:, 0].argmax())}


def test_the_mirror_maps_each_point_to_its_counterpart(face) -> None:
    for i, mirrored in enumerate(face * [-1, 1]):
        distances = np.linalg.norm(face - mirrored, axis=1)
        assert landmarks.MIRRORED[i] == distances.argmin()
        assert distances.min() == pytest.approx(0, abs=1e-9)


def test_the_mirror_is_its_own_inverse() -> None:
    assert sorted(landmarks.MIRRORED) == list(range(landmarks.COUNT))
    assert [landmarks.MIRRORED[i] for i in landmarks.MIRRORED] == list(range(landmarks.COUNT))
