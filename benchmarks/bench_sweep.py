"""Cost of a large sweep on the machine of the command, with work of zero length on an imaginary cluster."""

from __future__ import annotations

import pickle
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import pytest

from aubench.core.registry import find_protocol
from aubench.engines.cluster import ClusterChoice, ClusterEngine, Outcome, portable
from aubench.engines.slurm_task import FoldTask
from aubench.runs import run_file
from aubench.runs.config import RunConfig
from aubench.runs.engine import Engine, Job
from aubench.runs.events import FoldFinished
from aubench.runs.run_options import RunOptions
from aubench.runs.run_status import read_states
from aubench.runs.scheduler import run_jobs
from aubench.runs.store_ref import StoreRef

FOLDS = 3


class _Engine(ClusterEngine):
    """Cluster that pickles jobs as submitit and Ray do, and ends them at once."""

    name = "imaginary"

    def __init__(self, choice: ClusterChoice) -> None:
        super().__init__()
        self._choice, self._queue = choice.on_node(), deque[tuple[Future[None], bytes]]()

    def submit(self, job: Job) -> Future[None]:
        future = self._add(portable(job))
        self._queue.append((future, pickle.dumps(FoldTask(self._jobs[future], self._choice, "/"))))
        return future

    def _poll(self, seconds: float) -> Iterator[tuple[Future[None], Outcome]]:
        for _ in range(min(len(self._queue), 100)):
            yield self._queue.popleft()[0], FoldFinished(None, 0)

    def cancel(self, future: Future[None]) -> None: ...

    def close(self, *, interrupted: bool) -> None: ...


@dataclass(frozen=True)
class _Choice(ClusterChoice):
    def engine(self) -> Engine:
        return _Engine(self)


def _no_work(config: RunConfig, fold: int, kind: str, index: int, report: Callable[[FoldFinished], None]) -> None: ...


def _sweep(runs: Path, count: int) -> dict[str, float]:
    """Plan, run and list the folds of a sweep; returns the milliseconds of CPU time per fold of each part."""
    protocol = find_protocol("synth_3fold")
    store = StoreRef(runs / "store", "synth", "1", "0" * 64)
    begin = process_time()
    options = RunOptions(runs=runs)
    configs = [RunConfig.create("late_fusion", protocol, store, options, seed) for seed in range(count // FOLDS)]
    for config in configs:
        run_file.write(config, {})
    planned = process_time()
    jobs = [Job(config, fold, _no_work) for config in configs for fold in range(1, FOLDS + 1)]
    ends: list[int] = []
    run_jobs(jobs, _Choice("cuda", 1, "imaginary"), lambda job, event: ends.append(job.fold))
    run = process_time()
    states = read_states(runs, pytest.fail)
    assert len(ends) == len(jobs) == len(states)
    seconds = {"plan": planned - begin, "run": run - planned, "status": process_time() - run}
    return {part: 1e3 * value / len(jobs) for part, value in seconds.items()}


@pytest.fixture(scope="module")
def sizes(smoke: bool) -> tuple[int, int]:
    return (30, 90) if smoke else (999, 9999)


def test_time_and_memory_of_a_sweep_are_linear(sizes: tuple[int, int], smoke: bool, tmp_path: Path, capsys) -> None:
    _sweep(tmp_path / "first", FOLDS)  # imports and caches
    times = {count: _sweep(tmp_path / f"time{count}", count) for count in sizes}
    memory = {}
    for count in sizes:
        tracemalloc.start()
        _sweep(tmp_path / f"memory{count}", count)
        memory[count] = tracemalloc.get_traced_memory()[1] / count / 1024
        tracemalloc.stop()
    with capsys.disabled():
        for count in sizes:
            parts = ", ".join(f"{part} {value:.2f}" for part, value in times[count].items())
            print(f"\n{count} folds: CPU ms per fold: {parts}; peak memory per fold: {memory[count]:.1f} KiB", end="")
        print()
    small, large = sizes
    if not smoke:
        assert sum(times[large].values()) < 1.25 * sum(times[small].values())
        assert memory[large] < 1.1 * memory[small]
