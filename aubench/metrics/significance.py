"""Significance of differences between methods: paired sign-flip test over subjects, Holm's correction, ranks.

Each subject contributes to the difference of two F1s (:mod:`aubench.metrics.resampling`). If both methods are equally
good, each contribution is as likely with the opposite sign. So the test flips signs subject by subject, and the p-value
is the share of permutations with a sum at least as extreme as the observed difference.

More tests need smaller p-values and more permutations. So a test with fewer than 20 extreme permutations continues,
block by block, up to 20 times the number that the correction requires. The test stays valid, since a test that ends
with a p-value of x or less has at most a share x of extreme permutations after each block. Ranks of more than 16
methods, which have more than 125 pairs, draw no permutations (:mod:`aubench.metrics.many_ranks`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from aubench.metrics import many_ranks
from aubench.metrics.resampling import Floats, SubjectContributions

MIN_PERMUTATIONS = 50_000
ALPHA = 0.05
MIN_EXTREME = 20
"""Number of extreme permutations after which a test ends."""
SEED, BLOCK = 20_240_301, 5_000
_CHUNK = 16
"""Number of differences whose sums are in memory together."""
_GRID = 2.0**40
"""Contributions are rounded to 1 / 2^40, so sums are exact in any order."""

Pairs = Mapping[tuple[int, int], SubjectContributions]
"""Differences by the indices of the two methods."""


def differences(methods: Sequence[SubjectContributions]) -> dict[tuple[int, int], SubjectContributions]:
    """Subtract from each method every later one.

    Raises:
        RecordError: Two methods differ in folds, subjects or AUs.
    """
    return {(i, j): methods[i] - methods[j] for i, j in combinations(range(len(methods)), 2)}


def permutations_for(tests: int) -> int:
    """Return the largest number of permutations per test in a family of tests, a multiple of the block size."""
    return BLOCK * math.ceil(max(MIN_PERMUTATIONS, MIN_EXTREME * tests / ALPHA) / BLOCK)


def sign_flip_test(contributions: Floats) -> Floats:
    """Compute two-sided p-values of the paired test.

    Args:
        contributions: Contribution of each subject to each difference of a family (S, C).

    Returns:
        (C,), at least 1 / (:func:`permutations_for` (C) + 1).
    """
    exact = np.rint(contributions * _GRID)
    tests = contributions.shape[1]
    generator = np.random.RandomState(SEED)
    extreme, done, limit = np.zeros(tests), np.zeros(tests), permutations_for(tests)
    while (active := np.flatnonzero((done < MIN_PERMUTATIONS) | ((extreme < MIN_EXTREME) & (done < limit)))).size:
        extreme[active] += _count_extreme(exact[:, active], generator)
        done[active] += BLOCK
    return np.asarray((extreme + 1) / (done + 1))


def _count_extreme(exact: Floats, generator: np.random.RandomState) -> npt.NDArray[np.int64]:
    """Count the permutations of a block that are at least as extreme as each difference."""
    signs = 2.0 * generator.randint(0, 2, size=(BLOCK, len(exact)), dtype=np.int64) - 1
    counts = []
    for begin in range(0, exact.shape[1], _CHUNK):
        chunk = exact[:, begin : begin + _CHUNK]
        sums = signs @ chunk
        counts.append(np.count_nonzero(np.abs(sums, out=sums) >= np.abs(chunk.sum(axis=0)), axis=0))
    return np.concatenate(counts)


def p_values_mean(pairs: Pairs) -> Floats:
    """Compute the p-value of each pair for the mean over AUs (P,)."""
    return sign_flip_test(np.stack([pair.contributions[:, -1] for pair in pairs.values()], axis=1))


def p_values_per_au(pairs: Pairs) -> Floats:
    """Compute the p-value of each pair and AU (P, A)."""
    contributions = np.stack([pair.contributions[:, :-1] for pair in pairs.values()], axis=1)
    return sign_flip_test(contributions.reshape(len(contributions), -1)).reshape(contributions.shape[1:])


def holm(p: Floats) -> Floats:
    """Apply Holm's step-down correction (Scandinavian Journal of Statistics 6, 1979) to a family of p-values.

    Args:
        p: P-values of the family, in any shape.

    Returns:
        Corrected p-values in the same shape. Rejecting those below 5 % has a family-wise error rate of at most 5 %.
    """
    order = np.argsort(p, axis=None, kind="stable")
    stepped = p.ravel()[order] * np.arange(p.size, 0, -1)
    corrected = np.empty(p.size)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return corrected.reshape(p.shape)


def ranks(count: int, pairs: Pairs, corrected: Floats) -> list[int]:
    """Compute ranks: one more than the number of significantly better methods.

    Args:
        count: Number of methods.
        pairs: Differences of the methods.
        corrected: Corrected p-value of each pair for the mean over AUs (P,).

    Returns:
        Rank of each method, from 1.
    """
    result = [1] * count
    for ((i, j), pair), p in zip(pairs.items(), corrected.tolist(), strict=True):
        if p < ALPHA:
            result[j if pair.estimate[-1] > 0 else i] += 1
    return result


def rank_ranges(methods: Sequence[SubjectContributions]) -> list[tuple[int, int]]:
    """Compute the first and the last rank of each method, from the paired test of each pair, corrected over all pairs.

    Returns:
        :func:`ranks`, and the number of methods that are not significantly worse. The true ranks of all methods are
        within these ranges with a probability of at least 95 % (Mogstad et al., Inference for ranks, Review of Economic
        Studies 91, 2024).
    """
    count = len(methods)
    if count < 2:
        return [(1, 1)] * count
    if permutations_for(count * (count - 1) // 2) > MIN_PERMUTATIONS:
        shares = np.stack([(method - methods[0]).contributions[:, -1] for method in methods])
        better, worse = many_ranks.significant_differences(shares, ALPHA)
        return [(1 + above, count - below) for above, below in zip(better, worse, strict=True)]
    pairs = differences(methods)
    corrected = holm(p_values_mean(pairs))
    reverse = {(j, i): pair for (i, j), pair in pairs.items()}
    first, below = ranks(count, pairs, corrected), ranks(count, reverse, corrected)
    return [(rank, count + 1 - worse_rank) for rank, worse_rank in zip(first, below, strict=True)]
