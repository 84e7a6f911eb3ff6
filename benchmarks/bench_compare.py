"""Ten methods with three seeds each, 41 subjects, 12 AUs: everything that `aubench compare` computes."""

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
    """Counts of a run."""
    rows = [(fold, f"S{i:02}", au) for fold, n in enumerate(SIZES, 1) for i in range(n) for au in range(1, 13)]
    made = pd.DataFrame(rows, columns=["fold", "subject", "au"]).assign(condition="clean", tn=100)
    for cell, rate in (("tp", 80), ("fp", 30), ("fn", 30)):
        made[cell] = generator.poisson(rate * generator.gamma(2, 0.5, len(made)))
    return made


@pytest.fixture(scope="module")
def runs() -> list[list[pd.DataFrame]]:
    generator = np.random.default_rng(0)
    return [[table(generator) for _ in range(SEEDS)] for _ in range(METHODS)]


def compared(runs: list[list[pd.DataFrame]]) -> list[int]:
    """Intervals of all methods and pairs, tests of all pairs and AUs, ranks."""
    found = [subject_contributions(one) for one in runs]
    pairs = significance.differences(found)
    for one in (*found, *pairs.values()):
        intervals.confidence_intervals(one)
    significance.holm(significance.p_values_per_au(pairs))
    return significance.ranks(len(found), pairs, significance.holm(significance.p_values_mean(pairs)))


def test_compare(benchmark, runs) -> None:
    compared(runs[:2])
    assert len(benchmark.pedantic(compared, (runs,), rounds=3)) == METHODS
    seconds = benchmark.stats.stats.min
    print(f"\n{METHODS} methods, {SEEDS} seeds: {seconds:.2f} s for {METHODS * (METHODS - 1) // 2} pairs")
    assert seconds < LIMIT
