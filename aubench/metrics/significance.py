"""Which of several contestants can be told apart: a paired test over subjects, Holm's correction, ranks.

Each person adds a part to the difference of two F1s (:mod:`aubench.metrics.resampling`). Were the two equally
good, a person's part could as well have come with the other sign. So signs are flipped person by person,
and the p-value is the share of flips whose sum is at least as far from 0 as the difference itself.

The more tests there are, the smaller a p-value must be to survive their correction, and the more flips it takes
to find one. So tests that fewer than 20 flips have met go on, block by block, up to 20 times as many flips as the
correction asks for. That keeps the test honest: whoever ends with a p-value of x or less had one already after the
first block, from :data:`FLIPS` flips on, at which 20 are no more than a share x of all (or after the last one).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from aubench.metrics.resampling import Floats, SubjectContributions

MIN_PERMUTATIONS = 50_000
"""The fewest flips."""
ALPHA = 0.05
_ENOUGH = 20
"""Flips that meet a test whose p-value is on the verge of surviving the correction; those met more often end early."""
_SEED, _BLOCK = 20_240_301, 5_000
_AT_ONCE = 16
"""Differences whose sums lie in memory together."""
_GRID = 2.0**40
"""Parts are rounded to 1 / 2^40, so that their sums are exact, in whatever order a machine takes them."""

Pairs = Mapping[tuple[int, int], SubjectContributions]
"""Differences by the places of the two contestants."""


def differences(contestants: Sequence[SubjectContributions]) -> dict[tuple[int, int], SubjectContributions]:
    """Each contestant minus every later one.

    Raises:
        RecordError: Two are over different folds, subjects or AUs.
    """
    return {(i, j): contestants[i] - contestants[j] for i, j in combinations(range(len(contestants)), 2)}


def permutations_for(tests: int) -> int:
    """How many flips it takes to tell which of so many tests survive Holm's correction, in whole blocks."""
    return _BLOCK * math.ceil(max(MIN_PERMUTATIONS, _ENOUGH * tests / ALPHA) / _BLOCK)


def sign_flip_test(parts: Floats) -> Floats:
    """P-values of the paired test, two-sided.

    Args:
        parts: What each person adds to each difference of a family (S, C).

    Returns:
        (C,), at least 1 / (:func:`flips_for` (C) + 1).
    """
    exact = np.rint(parts * _GRID)
    generator = np.random.RandomState(_SEED)
    met, done, wanted = np.zeros(parts.shape[1]), np.zeros(parts.shape[1]), permutations_for(parts.shape[1])
    while (open_ := np.flatnonzero((done < MIN_PERMUTATIONS) | ((met < _ENOUGH) & (done < wanted)))).size:
        met[open_] += _at_least_as_extreme(exact[:, open_], generator)
        done[open_] += _BLOCK
    return np.asarray((met + 1) / (done + 1))


def _at_least_as_extreme(exact: Floats, generator: np.random.RandomState) -> npt.NDArray[np.int64]:
    """How many of a block of flips are at least as far from 0 as each difference."""
    signs = 2.0 * generator.randint(0, 2, size=(_BLOCK, len(exact)), dtype=np.int64) - 1
    found = []
    for begin in range(0, exact.shape[1], _AT_ONCE):
        own = exact[:, begin : begin + _AT_ONCE]
        sums = signs @ own
        found.append(np.count_nonzero(np.abs(sums, out=sums) >= np.abs(own.sum(axis=0)), axis=0))
    return np.concatenate(found)


def p_values_mean(pairs: Pairs) -> Floats:
    """P-value of each pair for the mean over AUs (P,)."""
    return sign_flip_test(np.stack([pair.contributions[:, -1] for pair in pairs.values()], axis=1))


def p_values_per_au(pairs: Pairs) -> Floats:
    """P-value of each pair and AU (P, A)."""
    parts = np.stack([pair.contributions[:, :-1] for pair in pairs.values()], axis=1)
    return sign_flip_test(parts.reshape(len(parts), -1)).reshape(parts.shape[1:])


def holm(p: Floats) -> Floats:
    """Holm's step-down correction (Scandinavian Journal of Statistics 6, 1979) over all p-values of an array.

    Args:
        p: P-values of one family, in any shape.

    Returns:
        Corrected p-values in the same shape; those below 5 % may all be believed with at most 5 % risk of one error.
    """
    order = np.argsort(p, axis=None, kind="stable")
    stepped = p.ravel()[order] * np.arange(p.size, 0, -1)
    corrected = np.empty(p.size)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return corrected.reshape(p.shape)


def ranks(count: int, pairs: Pairs, corrected: Floats) -> list[int]:
    """One more than the number of contestants that are significantly better.

    Args:
        count: Number of contestants.
        pairs: Their differences.
        corrected: The corrected p-value of each pair for the mean over AUs (P,).

    Returns:
        The rank of each, from 1; everything that nothing is shown to beat has rank 1.
    """
    found = [1] * count
    for ((i, j), pair), p in zip(pairs.items(), corrected.tolist(), strict=True):
        if p < ALPHA:
            found[j if pair.estimate[-1] > 0 else i] += 1
    return found


def ranks_by_contributions(contestants: Sequence[SubjectContributions]) -> list[int]:
    """:func:`ranks` of contestants by the paired test of each pair, corrected over all pairs."""
    pairs = differences(contestants)
    return ranks(len(contestants), pairs, holm(p_values_mean(pairs))) if pairs else [1] * len(contestants)
