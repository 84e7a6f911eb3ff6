"""All computations of `aubench compare` for ten methods with three seeds each, 41 subjects and 12 AUs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aubench.metrics import intervals, significance
from aubench.metrics.resampling import subject_contributions

METHODS, SEEDS, SIZES = 10, 3, (13, 14, 14)
LIMIT = 2.0
"""Seconds of one core."""


def table(generator: np.random.Generator) -> pd.DataFrame:
    """Draw the counts of a run."""
    rows = [(fold, f"S{i:02}", au) for fold, n in enumerate(SIZES, 1) for i in range(n) for au in range(1, 13)]
    counts = pd.DataFrame(rows, columns=["fold", "subject", "au"]).assign(condition="clean", tn=100)
    for cell, rate in (("tp", 80), ("fp", 30), ("fn", 30)):
        counts[cell] = generator.poisson(rate * generator.gamma(2, 0.5, len(counts)))
    return counts


@pytest.fixture(scope="module")
def runs() -> list[list[pd.DataFrame]]:
    generator = np.random.default_rng(0)
    return [[table(generator) for _ in range(SEEDS)] for _ in range(METHODS)]


def rank(runs: list[list[pd.DataFrame]]) -> list[int]:
    """Compute the intervals of all methods and pairs, the tests of all pairs and AUs, and the ranks."""
    methods = [subject_contributions(tables) for tables in runs]
    pairs = significance.differences(methods)
    for contributions in (*methods, *pairs.values()):
        intervals.confidence_intervals(contributions)
    significance.holm(significance.p_values_per_au(pairs))
    return significance.ranks(len(methods), pairs, significance.holm(significance.p_values_mean(pairs)))


def test_compare(measure, check_target, smoke: bool, runs) -> None:
    assert len(rank(runs[:2])) == 2
    seconds = measure(rank, runs[:3] if smoke else runs, rounds=3)
    print(f"\n{METHODS} methods, {SEEDS} seeds: {seconds:.2f} s for {METHODS * (METHODS - 1) // 2} pairs")
    check_target(seconds, at_most=LIMIT)
