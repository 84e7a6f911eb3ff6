"""Bounds on F1 given an accuracy."""

import pytest

from tests.factories.feasibility import f1_bounds


@pytest.mark.parametrize("positives", range(1, 12))
def test_bounds_are_the_extremes_over_all_confusion_tables(positives):
    frames = 12
    by_correct: dict[int, list[float]] = {}
    for tp in range(positives + 1):
        for tn in range(frames - positives + 1):
            by_correct.setdefault(tp + tn, []).append(
                2 * tp / (tp + positives + frames - positives - tn) if tp else 0.0
            )
    for right, values in by_correct.items():
        assert f1_bounds(positives / frames, right / frames) == pytest.approx((min(values), max(values)), abs=1e-9)


def test_printed_formula():
    base_rate, accuracy = 0.562, 0.966
    error = 1 - accuracy
    low, high = f1_bounds(base_rate, accuracy)
    assert low == pytest.approx(2 * (base_rate - error) / (2 * (base_rate - error) + error))
    assert high == pytest.approx(2 * base_rate / (2 * base_rate + error))
    assert low > 0.968


@pytest.mark.parametrize(
    ("base_rate", "accuracy", "bounds"), [(0.3, 1.0, (1, 1)), (0.0, 0.9, (0, 0)), (1.0, 0.0, (0, 0))]
)
def test_edges(base_rate, accuracy, bounds):
    assert f1_bounds(base_rate, accuracy) == pytest.approx(bounds)
