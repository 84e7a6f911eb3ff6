"""Which of several contestants can be told apart: a paired test over subjects, Holm's correction, ranks.

Each person adds a part to the difference of two F1s (:mod:`aubench.scores.shares`). Were the two equally
good, a person's part could as well have come with the other sign. So signs are flipped person by person,
and the p-value is the share of flips whose sum is at least as far from 0 as the difference itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from aubench.scores.shares import Floats, Shares

FLIPS = 50_000
"""Enough for Holm's correction over the 12 AUs of all pairs of 20 methods to reach 5 %."""
ALPHA = 0.05
_SEED, _BLOCK = 20_240_301, 5_000
_GRID = 2.0**40
"""Parts are rounded to 1 / 2^40, so that their sums are exact, in whatever order a machine takes them."""

Pairs = Mapping[tuple[int, int], Shares]
"""Differences by the places of the two contestants."""


def differences(contestants: Sequence[Shares]) -> dict[tuple[int, int], Shares]:
    """Each contestant minus every later one.

    Raises:
        RecordError: Two are over different folds, subjects or AUs.
    """
    return {(i, j): contestants[i] - contestants[j] for i, j in combinations(range(len(contestants)), 2)}


def flipped(parts: Floats) -> Floats:
    """P-values of the paired test, two-sided.

    Args:
        parts: What each person adds to each difference (S, C).

    Returns:
        (C,), at least 1 / (``FLIPS`` + 1).
    """
    exact = np.rint(parts * _GRID)
    observed = np.abs(exact.sum(axis=0))
    generator = np.random.RandomState(_SEED)
    as_far = np.ones(parts.shape[1])
    for _ in range(FLIPS // _BLOCK):
        signs = 2.0 * generator.randint(0, 2, size=(_BLOCK, len(parts)), dtype=np.int64) - 1
        as_far += (np.abs(signs @ exact) >= observed).sum(axis=0)
    return np.asarray(as_far / (FLIPS + 1))


def mean_p(pairs: Pairs) -> Floats:
    """P-value of each pair for the mean over AUs (P,)."""
    return flipped(np.stack([pair.parts[:, -1] for pair in pairs.values()], axis=1))


def au_p(pairs: Pairs) -> Floats:
    """P-value of each pair and AU (P, A)."""
    parts = np.stack([pair.parts[:, :-1] for pair in pairs.values()], axis=1)
    return flipped(parts.reshape(len(parts), -1)).reshape(parts.shape[1:])


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


def ranked(contestants: Sequence[Shares]) -> list[int]:
    """:func:`ranks` of contestants by the paired test of each pair, corrected over all pairs."""
    pairs = differences(contestants)
    return ranks(len(contestants), pairs, holm(mean_p(pairs))) if pairs else [1] * len(contestants)
