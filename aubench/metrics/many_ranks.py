"""Ranks of many methods: the paired test of each pair, without drawing permutations and without holding pairs.

The p-value is the tail of the sign-flip distribution of :mod:`aubench.metrics.significance`. Up to 16 subjects, it is
the share of all permutations. With more, it is the saddlepoint approximation (Lugannani and Rice, Advances in Applied
Probability 12, 1980; Robinson, JRSS B 44, 1982). Many pairs need neither. Let z be the difference divided by the square
root of the sum of the squared contributions. The tail is at most 3.178 times the normal one at z (Bentkus and
Dzindzalieta, Bernoulli 21, 2015), so a pair with a large z is certainly significant. A pair with z under 2 counts as
not significant.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from aubench.metrics.resampling import Floats

_NORMAL_FACTOR = 3.178
_ROWS, _PAIRS = 256, 4096
"""Number of methods whose pairs are in memory together, and number of pairs whose tails are."""
_BINS = 1024
"""Bins of the histogram of squared z, per unit."""
_SMALLEST = 4
"""Squared z under which a pair counts as not significant."""
_EXACT_SUBJECTS = 16
"""Largest number of subjects whose permutations are all counted."""
_TIE = 1e-9
"""Difference of sums that is a rounding error, relative to the root of the sum of squares."""
_NEWTON_STEPS = 30
_RELATIVE = 1e-12
"""Smallest sum of squares of a difference, relative to those of both methods, that is no rounding error."""

_Bools = npt.NDArray[np.bool_]


def significant_differences(contributions: Floats, alpha: float) -> tuple[list[int], list[int]]:
    """Count the significantly better and worse methods of each method, after Holm's correction over all pairs.

    Args:
        contributions: Contribution of each subject to the score of each method (N, S).
        alpha: Family-wise error rate.

    Returns:
        Number of better and number of worse methods, of each method.
    """
    tests = len(contributions) * (len(contributions) - 1) // 2
    certain, highest_level = _levels(_histogram(contributions), tests, alpha)
    wins, sure = np.zeros((len(contributions), 2), np.int64), 0
    undecided = []
    for begin, difference, squared in _blocks(contributions):
        sure += _count(wins, begin, difference, squared >= certain)
        first, second = np.nonzero((squared >= _SMALLEST) & (squared < certain))
        is_better = difference[first, second] > 0
        first += begin
        p = sign_flip_tail(contributions, first, second)
        sides = np.where(is_better, first, second), np.where(is_better, second, first)
        undecided.append(np.stack([p, *sides])[:, p < highest_level])
    p, better, worse = np.concatenate(undecided, axis=1)
    order = np.argsort(p, kind="stable")
    accepted = np.flatnonzero(p[order] >= alpha / (tests - sure - np.arange(len(p))))
    chosen = order[: accepted[0]] if accepted.size else order
    np.add.at(wins[:, 0], better[chosen].astype(np.intp), 1)
    np.add.at(wins[:, 1], worse[chosen].astype(np.intp), 1)
    return wins[:, 1].tolist(), wins[:, 0].tolist()


def _blocks(contributions: Floats) -> Iterator[tuple[int, Floats, Floats]]:
    """Yield the first method of a block, and of each pair with a later method the difference and its squared z.

    Both are (B, N). The squared z is -1 where the second method is not later.
    """
    sums, squares = contributions.sum(axis=1), (contributions**2).sum(axis=1)
    for begin in range(0, len(contributions), _ROWS):
        block = contributions[begin : begin + _ROWS]
        of_both = squares[begin : begin + _ROWS, None] + squares
        difference = sums[begin : begin + _ROWS, None] - sums
        of_difference = np.maximum(of_both - 2 * (block @ contributions.T), _RELATIVE * of_both)
        squared = difference**2 / np.maximum(of_difference, np.finfo(float).tiny)
        is_later = np.arange(len(contributions)) > begin + np.arange(len(block))[:, None]
        yield begin, difference, np.where(is_later, squared, -1.0)


def _count(wins: npt.NDArray[np.int64], begin: int, difference: Floats, chosen: _Bools) -> int:
    """Add the chosen pairs of a block to the numbers of wins and losses, and return their number."""
    first, second = chosen & (difference > 0), chosen & (difference <= 0)
    rows = slice(begin, begin + len(chosen))
    wins[rows, 0] += first.sum(axis=1)
    wins[rows, 1] += second.sum(axis=1)
    wins[:, 0] += second.sum(axis=0)
    wins[:, 1] += first.sum(axis=0)
    return int(chosen.sum())


def _histogram(contributions: Floats) -> npt.NDArray[np.int64]:
    """Count the pairs whose squared z is at least k / :data:`_BINS`, for each k."""
    top = _BINS * (contributions.shape[1] + 1)
    counts = np.zeros(top + 1, np.int64)
    for _, _, squared in _blocks(contributions):
        bins = np.minimum(squared[squared >= 0] * _BINS, top).astype(np.int64)
        counts += np.bincount(bins, minlength=top + 1)
    return np.asarray(counts[::-1].cumsum()[::-1])


def _levels(at_least: npt.NDArray[np.int64], tests: int, alpha: float) -> tuple[float, float]:
    """Bound the level of Holm's correction, which is alpha / (tests - rejected).

    Returns:
        Squared z from which a pair is certainly rejected, and the highest possible level.
    """
    from scipy.special import ndtri

    level, previous = alpha / tests, 0.0
    while level > previous:
        certain = float(ndtri(level / (2 * _NORMAL_FACTOR))) ** 2
        index = min(int(certain * _BINS) + 1, len(at_least) - 1)
        previous, level = level, alpha / max(tests - int(at_least[index]), 1)
    return certain, alpha / max(tests - int(at_least[int(_SMALLEST * _BINS)]), 1)


def sign_flip_tail(contributions: Floats, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]) -> Floats:
    """Compute two-sided p-values of the sign-flip test of pairs, exactly up to 16 subjects.

    Args:
        contributions: Contribution of each subject to the score of each method (N, S).
        first: Index of the first method of each pair (P,), which differs from the second in its sum.
        second: Index of the second.

    Returns:
        (P,), between 2 / 2^S and twice Chernoff's bound, and also exact where all subjects agree.
    """
    compute = _exact_tail if contributions.shape[1] <= _EXACT_SUBJECTS else _tail
    parts = [slice(begin, begin + _PAIRS) for begin in range(0, len(first), _PAIRS)]
    tails = [compute(contributions[first[part]] - contributions[second[part]]) for part in parts]
    return np.concatenate(tails) if tails else np.zeros(0)


def _exact_tail(differences: Floats) -> Floats:
    """Compute :func:`sign_flip_tail` of differences by subject (P, S), without all 2^S sums.

    For each sum of the first half of the subjects, a search in the sorted sums of the others counts the permutations.
    The rows have distant offsets, so that one search serves all of them.
    """
    pairs, subjects = differences.shape
    parts = differences / np.sqrt((differences**2).sum(axis=1, keepdims=True))
    first, second = _sums(parts[:, : subjects // 2]), np.sort(_sums(parts[:, subjects // 2 :]), axis=1)
    missing = np.abs(parts.sum(axis=1, keepdims=True)) - _TIE - first
    offsets = 4 * subjects * np.arange(pairs)[:, None]
    places = np.searchsorted((second + offsets).ravel(), missing + offsets)
    smaller = places - second.shape[1] * np.arange(pairs)[:, None]
    one_sided = 1 - smaller.mean(axis=1) / second.shape[1]
    return np.asarray(np.minimum(2 * one_sided, 1))


def _sums(parts: Floats) -> Floats:
    """Compute the sums of parts (P, S) with all signs (P, 2^S)."""
    sums = np.zeros((len(parts), 1))
    for part in parts.T[:, :, None]:
        sums = np.concatenate([sums + part, sums - part], axis=1)
    return sums


def _tail(differences: Floats) -> Floats:
    """Approximate :func:`sign_flip_tail` of differences by subject (P, S)."""
    deviation = np.sqrt((differences**2).sum(axis=1))
    parts, target = np.abs(differences) / deviation[:, None], np.abs(differences.sum(axis=1)) / deviation
    lowest = 0.5 ** np.count_nonzero(parts, axis=1)
    disagree = target < parts.sum(axis=1) * (1 - _RELATIVE)
    tail, bound = _saddlepoint_tail(parts[disagree], target[disagree])
    one_sided = lowest.copy()
    one_sided[disagree] = np.clip(tail, lowest[disagree], bound)
    return np.asarray(2 * one_sided)


def _saddlepoint_tail(parts: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Approximate P(sum of ± parts >= target) of parts with a sum of squares of 1; also return Chernoff's bound."""
    from scipy.special import ndtr

    tilt = _saddlepoints(parts, target)
    scaled = tilt[:, None] * parts
    cumulant = (scaled + np.log1p(np.exp(-2 * scaled)) - np.log(2)).sum(axis=1)
    exponent = np.maximum(tilt * target - cumulant, np.finfo(float).tiny)
    root = np.sqrt(2 * exponent)
    curvature = np.sqrt((parts**2 / np.cosh(np.minimum(scaled, 300)) ** 2).sum(axis=1))
    density = np.exp(-exponent) / np.sqrt(2 * np.pi)
    return ndtr(-root) + density * (1 / np.maximum(tilt * curvature, 1e-300) - 1 / root), np.exp(-exponent)


def _saddlepoints(parts: Floats, target: Floats) -> Floats:
    """Solve sum(a tanh(x a)) = target for x by Newton's method, which approaches the solution from below."""
    tilt = target.copy()
    for _ in range(_NEWTON_STEPS):
        tanh = np.tanh(tilt[:, None] * parts)
        slope = (parts**2 * (1 - tanh**2)).sum(axis=1)
        step = np.maximum(target - (parts * tanh).sum(axis=1), 0) / np.maximum(slope, 1e-300)
        tilt = np.minimum(tilt + step, 1e3)
        if (step <= 1e-6 * tilt).all():
            break
    return tilt
