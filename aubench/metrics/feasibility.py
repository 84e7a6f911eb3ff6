"""Which F1 and accuracy can belong to the same predictions: a check of numbers that come without counts."""

from __future__ import annotations


def f1_bounds(base_rate: float, accuracy: float) -> tuple[float, float]:
    """The least and greatest F1 that predictions of a given accuracy can have.

    With base rate π and error e, F1 = 2 TP / (2 TP + e) as shares of all frames. It is least where as many errors as
    possible are misses and greatest where as many as possible are false alarms: for e ≤ π and e ≤ 1 − π these are
    2(π − e) / (2(π − e) + e) and 2π / (2π + e).

    Args:
        base_rate: Share of frames that show the AU, in [0, 1].
        accuracy: Share of frames predicted right, in [0, 1].

    Returns:
        The bounds, as fractions. Both are 0 where no frame can be a true positive. They hold for the frames of one role
        together; a mean over folds can lie a little outside.
    """
    error = 1 - accuracy
    fewest, most = base_rate - min(error, base_rate), base_rate - max(0.0, error - (1 - base_rate))
    return _f1(fewest, error), _f1(most, error)


def _f1(true_positives: float, error: float) -> float:
    return 2 * true_positives / (2 * true_positives + error) if true_positives > 0 else 0.0
