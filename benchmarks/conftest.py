"""Timing of two implementations in turns within one process, and the smoke mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

Compare = Callable[..., float]
Measure = Callable[..., float]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--smoke", action="store_true", help="run each benchmark once on small inputs, without targets")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--smoke"):
        config.option.benchmark_disable = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remove the marks of missed targets in smoke mode, which has no targets."""
    if config.getoption("--smoke"):
        for item in (item for item in items if item.path.parent == Path(__file__).parent):
            item.own_markers = [mark for mark in item.own_markers if mark.name != "xfail"]


@pytest.fixture(scope="session")
def smoke(pytestconfig: pytest.Config) -> bool:
    """Whether each benchmark runs once, without targets."""
    return bool(pytestconfig.getoption("--smoke"))


def seconds_of(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = perf_counter()
    function()
    return perf_counter() - begin


@pytest.fixture
def report(smoke: bool, capsys: pytest.CaptureFixture[str]) -> Callable[..., float]:
    """Print the ratio of two timings taken in turns; returns its median.

    Each round of ``ours`` is compared with the mean of the rounds of ``theirs`` just before and just after it. Other
    load on the machine affects both, and a single disturbed round does not move the median.
    """

    def run(ours: Sequence[float], theirs: Sequence[float], label: str) -> float:
        assert len(theirs) == len(ours) + 1
        ratios = [(before + after) / 2 / mine for mine, (before, after) in zip(ours, pairwise(theirs), strict=True)]
        low, ratio, high = ratios * 3 if smoke else quantiles(ratios, n=4)
        with capsys.disabled():
            print(f"\n{label}: {ratio:.3f} (middle half of {len(ours)} rounds {low:.3f} to {high:.3f}, ", end="")
            print(f"seconds {median(ours):.3f} against {median(theirs):.3f})")
        return ratio

    return run


@pytest.fixture
def compare(smoke: bool, request: pytest.FixtureRequest, report: Callable[..., float]) -> Compare:
    """Time ``ours`` and ``theirs`` in turns; returns the median of theirs divided by ours.

    The first round of each is for warming up. In smoke mode there is one round and no warm-up.
    """

    def run(ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int, label: str) -> float:
        if smoke:
            return report([seconds_of(ours)], [seconds_of(theirs)] * 2, label)
        benchmark: BenchmarkFixture = request.getfixturevalue("benchmark")
        other: list[float] = []
        benchmark.pedantic(ours, setup=lambda: other.append(seconds_of(theirs)), rounds=rounds, warmup_rounds=1)
        other.append(seconds_of(theirs))
        ratio = report(benchmark.stats.stats.data, other[1:], label)
        benchmark.extra_info[label] = round(ratio, 4)
        return ratio

    return run


@pytest.fixture
def measure(smoke: bool, request: pytest.FixtureRequest) -> Measure:
    """Time a function over many rounds; returns the seconds of the fastest. In smoke mode there is one round."""

    def run(function: Callable[..., object], *args: object, rounds: int | None = None) -> float:
        if smoke:
            return seconds_of(lambda: function(*args))
        benchmark: BenchmarkFixture = request.getfixturevalue("benchmark")
        if rounds is None:
            benchmark(function, *args)
        else:
            benchmark.pedantic(function, args, rounds=rounds)
        return float(benchmark.stats.stats.min)

    return run


@pytest.fixture
def best_of(smoke: bool) -> Callable[[Callable[[], object], int], float]:
    """Time a slow function a few times; returns the seconds of the fastest call."""

    def run(function: Callable[[], object], times: int) -> float:
        return min(seconds_of(function) for _ in range(1 if smoke else times))

    return run


@pytest.fixture
def check_target(smoke: bool) -> Callable[..., None]:
    """Fail where a target is missed, except in smoke mode."""

    def run(value: float, *, at_least: float = float("-inf"), at_most: float = float("inf")) -> None:
        assert smoke or at_least <= value <= at_most, f"{value:.3f} is not within {at_least} to {at_most}"

    return run
