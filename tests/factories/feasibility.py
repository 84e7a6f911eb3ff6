"""Bounds on F1 given an accuracy, to check published numbers without counts."""

from __future__ import annotations


def f1_bounds(base_rate: float, accuracy: float) -> tuple[float, float]:
    """Compute the lowest and highest F1 of predictions with a given accuracy.

    With base rate π and error e, F1 = 2 TP / (2 TP + e) in shares of all frames. The minimum has as many misses as
    possible, the maximum as many false alarms as possible. For e ≤ π and e ≤ 1 − π these are 2(π − e) / (2(π − e) + e)
    and 2π / (2π + e).

    Args:
        base_rate: Share of frames that show the AU, in [0, 1].
        accuracy: Share of correct predictions, in [0, 1].

    Returns:
        Lower and upper bound as fractions, both 0 if no frame can be a true positive. The bounds hold for the frames of
        one role. A mean over folds can lie slightly outside.
    """
    error = 1 - accuracy
    lowest, highest = base_rate - min(error, base_rate), base_rate - max(0.0, error - (1 - base_rate))
    return _f1(lowest, error), _f1(highest, error)


def _f1(true_positives: float, error: float) -> float:
    return 2 * true_positives / (2 * true_positives + error) if true_positives > 0 else 0.0
