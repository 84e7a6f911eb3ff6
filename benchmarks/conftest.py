"""How two ways to do the same are compared: in turns, within one run."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from statistics import median, quantiles
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

Compare = Callable[..., float]


@pytest.fixture
def compare(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> Compare:
    """Time ``ours`` and ``theirs`` in turns; gives the median of theirs divided by ours.

    Each round of ours is divided into the mean of theirs just before and just after it: what else the machine does
    meets both, and a round that it disturbs moves no median.
    """

    def run(ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int, told: str) -> float:
        other: list[float] = []

        def in_turn() -> None:
            begin = perf_counter()
            theirs()
            other.append(perf_counter() - begin)

        benchmark.pedantic(ours, setup=in_turn, rounds=rounds, warmup_rounds=1)
        in_turn()
        mine = benchmark.stats.stats.data
        around = pairwise(other[1:])  # the first was for warming up
        ratios = [(before + after) / 2 / own for own, (before, after) in zip(mine, around, strict=True)]
        low, ratio, high = quantiles(ratios, n=4)
        benchmark.extra_info[told] = round(ratio, 4)
        with capsys.disabled():
            print(f"\n{told}: {ratio:.3f} (middle half of {rounds} rounds {low:.3f} to {high:.3f}; ", end="")
            print(f"seconds {median(mine):.3f} against {median(other[1:]):.3f})")
        return ratio

    return run


@pytest.fixture
def best_of() -> Callable[[Callable[[], object], int], float]:
    """Seconds of the quickest of several calls, for what is too slow to run often."""

    def run(function: Callable[[], object], times: int) -> float:
        seconds = []
        for _ in range(times):
            begin = perf_counter()
            function()
            seconds.append(perf_counter() - begin)
        return min(seconds)

    return run
