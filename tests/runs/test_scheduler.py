"""Parallel folds: a failure stops its own run only, and its message is one line."""

from __future__ import annotations

from dataclasses import replace
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest
from factories import fold_works

from aubench.core.errors import AubenchError, Diverged
from aubench.results.run_folder import TRACEBACK
from aubench.runs import devices, fold_process
from aubench.runs.devices import DeviceChoice
from aubench.runs.events import FoldFinished
from aubench.runs.scheduler import FoldFailed, Job, run_jobs

TWO = DeviceChoice("cpu", 2, "a test")


def work(name: str):
    return getattr(fold_works, name)


@pytest.fixture(scope="module", autouse=True)
def fork_server():
    """Start a fork server that has imported the packages, if none runs."""
    fold_process.preload_workers()


@pytest.fixture
def configs(decide, tmp_path):
    return [decide(tmp_path, "resnet_depth", seed=seed) for seed in (0, 1, 2)]


def run_collecting(jobs, choice=TWO) -> tuple[list[tuple[int, int, str]], AubenchError | None]:
    events = []
    try:
        run_jobs(jobs, choice, lambda job, event: events.append((job.config.seed, job.fold, type(event).__name__)))
    except AubenchError as error:
        return events, error
    return events, None


def test_each_device_runs_as_many_jobs_at_a_time_as_it_may(configs, monkeypatch):
    started, limits = [], []

    def start(work, label, traceback_path):
        """Run a job in this process; it counts as running until its events are read."""
        receiver, sender = Pipe(duplex=False)
        work(sender.send)
        sender.send(fold_process.FINISHED)
        sender.close()
        return receiver, SimpleNamespace(join=lambda: None, exitcode=0)

    def target(config, fold, kind, index, report):
        started.append(index)
        report(FoldFinished(None, index))

    monkeypatch.setattr(fold_process, "start", start)
    monkeypatch.setattr(devices, "limit_memory", lambda choice, index: limits.append((choice.per_device, index)))
    jobs = [Job(config, fold, target) for config in configs for fold in (1, 2, 3)]
    ended = []
    run_jobs(jobs, DeviceChoice("cuda", 2, "a test", 2), lambda job, event: ended.append(list(started)))
    assert ended[0] == [0, 1, 0, 1], "two jobs on each of two cards before any has ended"
    assert len(started) == len(ended) == len(jobs) and set(limits) == {(2, 0), (2, 1)}


@pytest.mark.slow
def test_a_run_that_diverges_does_not_stop_the_others(configs):
    jobs = [
        Job(configs[0], 1, work("diverges")),
        *(Job(config, fold, work("works")) for config in configs for fold in (1, 2)),
    ]
    events, error = run_collecting(jobs, replace(TWO, count=1))
    assert isinstance(error, Diverged) and error.exit_code == 2
    assert {(seed, fold) for seed, fold, kind in events if kind == "FoldFinished" and seed} == {
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    }
    assert (0, 1, "RunFailed") in events and (0, 2, "FoldFinished") not in events


@pytest.mark.slow
def test_several_that_fail_are_told_together(configs):
    events, error = run_collecting([Job(config, fold, work("diverges")) for config in configs[:2] for fold in (1, 2)])
    assert str(error).startswith("2 runs failed; the first: resnet_depth: loss term")
    assert error.exit_code == 2
    assert [(seed, kind) for seed, _, kind in events] == [(0, "RunFailed"), (1, "RunFailed")], "each run once"


@pytest.mark.slow
def test_one_that_fails_alone_is_told_once(configs):
    events, error = run_collecting([Job(configs[0], 1, work("diverges"))])
    assert events == [] and isinstance(error, Diverged)


@pytest.mark.slow
def test_a_bug_is_one_line_and_its_traceback_a_file(configs):
    _, error = run_collecting([Job(configs[0], 2, work("breaks"))])
    path = configs[0].fold_dir(2) / TRACEBACK
    assert isinstance(error, FoldFailed) and error.exit_code == 1
    assert str(error) == f"fold 2 of resnet_depth broke (KeyError: 'a bug\\nof two lines'); see {path}"
    assert "Traceback" in path.read_text() and "in breaks" in path.read_text()
    run_collecting([Job(configs[0], 2, work("works"))])
    assert not path.exists(), "the traceback belongs to the previous attempt"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("runs_out_of_memory", "needs more memory than the GPU has; lower the batch size"),
        ("is_killed", "ended by signal 9"),
    ],
)
def test_what_the_machine_refuses_is_one_line(configs, name, words):
    _, error = run_collecting([Job(configs[0], 1, work(name))])
    assert isinstance(error, FoldFailed) and words in str(error) and "Traceback" not in str(error)


@pytest.mark.slow
def test_an_error_while_a_fold_is_told_of_stops_its_run_alone(configs):
    def raise_for_first(job, event):
        if isinstance(event, FoldFinished) and job.config.seed == 0:
            raise AubenchError("no record of it")
        if isinstance(event, FoldFinished):
            done.append(job.fold)

    done = []
    with pytest.raises(AubenchError, match="no record of it"):
        run_jobs(
            [Job(config, fold, work("works")) for config in configs[:2] for fold in (1, 2, 3)],
            replace(TWO, count=1),
            raise_for_first,
        )
    assert done == [1, 2, 3]
