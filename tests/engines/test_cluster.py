"""What every cluster has in common: progress from files, results from the folder of runs, errors of nodes."""

from __future__ import annotations

import json
import math
import pickle
import socket
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from engines.conftest import read_tables
from factories import fold_works

from aubench.api import cancel, status
from aubench.core.conditions import Condition
from aubench.core.errors import CheckFailed, UsageError
from aubench.engines import cluster, cluster_worker, node_stores, slurm_commands
from aubench.engines.choice import choose_engine
from aubench.engines.cluster import ClusterChoice, ClusterEngine, portable
from aubench.results import record
from aubench.runs import fold_status, run_file, run_status, sweeps
from aubench.runs.devices import DeviceChoice
from aubench.runs.engine import Job
from aubench.runs.events import EpochFinished, FoldFinished
from aubench.runs.fold_process import FoldFailed
from aubench.runs.runner import evaluate_conditions, run_folds
from aubench.runs.sweeps import SweepFile

NODE = DeviceChoice("cpu", 1, "a node")


class Here(ClusterEngine):
    """Cluster of which this process is the only node."""

    name = "here"

    def __init__(self):
        super().__init__()
        self.queue = deque()

    def submit(self, job):
        self.queue.append(future := self._add(portable(job)))
        return future

    def _poll(self, seconds):
        future = self.queue.popleft()
        yield future, cluster_worker.work(pickle.loads(pickle.dumps(self._jobs[future])), NODE, str(Path.cwd()))

    def cancel(self, future):
        self.queue.remove(future)

    def close(self, *, interrupted): ...


@dataclass(frozen=True)
class HereChoice(ClusterChoice):
    def engine(self):
        return Here()


CHOICE = HereChoice("cpu", 1, "here")


@pytest.mark.slow
def test_a_cluster_trains_evaluates_and_records_as_this_machine(plan, reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (config,) = plan(Path("runs"), seeds=(0,))
    ends, recorded = [], []
    run_folds(
        [config],
        (1,),
        CHOICE,
        lambda job, event: ends.append(event) if isinstance(event, FoldFinished) else None,
        lambda config, record: recorded.append(config.run_id),
    )
    assert [end.result.summary["fold"] for end in ends] == [1] and ends[0].epochs == 2
    assert recorded == [config.run_id]
    assert {config.run_id: read_tables(config)} == reference(folds=(1,), seeds=(0,))
    condition = Condition.parse("noise:depth:0.5")
    evaluate_conditions([config], lambda config: [condition], CHOICE, lambda job, event: None)
    assert record.read(config.run_dir / "record").info.conditions == ("clean", str(condition))


def test_progress_is_read_from_the_folder(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PROGRESS_SECONDS", 0.0)
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    engine = Here()
    future = engine.submit(Job(config, 1, fold_works.ends))
    monkeypatch.setattr(engine, "_poll", lambda seconds: iter(()))
    assert list(engine.wait(0.0)) == []
    epoch = EpochFinished("train", 1, 2, {"total": 0.5}, None, 99.0)
    folder = config.fold_dir(1)
    folder.mkdir()
    (folder / "running.json").write_text(json.dumps({"host": "gpu-7", "epoch": vars(epoch)}))
    assert list(engine.wait(0.0)) == [(future, epoch)] and list(engine.wait(0.0)) == []


def test_a_node_without_the_folder_of_runs_is_one_line(plan, tmp_path):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    error = cluster_worker.work(Job(config, 1, fold_works.ends), NODE, "/nowhere")
    hint = "give --runs on a disk that all nodes share"
    assert str(error) == f"{config.run_dir}: is not on the node {socket.gethostname()}; {hint}"
    assert not (tmp_path / "runs").exists()


def test_a_node_without_a_gpu_or_the_store_is_named(plan, tmp_path, monkeypatch):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    job, node = portable(Job(config, 1, fold_works.ends)), f"(node {socket.gethostname()})"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    error = cluster_worker.work(job, DeviceChoice("cuda", 1, "slurm"), "/")
    assert str(error) == f"--device: no cuda device on this machine {node}; use --device cpu"

    def differs(config):
        raise UsageError("differs from the store of the command", where=config.store.path, hint="make it again")

    monkeypatch.setattr(node_stores, "with_node_store", differs)
    error = cluster_worker.work(job, NODE, "/")
    assert str(error) == f"{config.store.path}: differs from the store of the command {node}; make it again"


def test_a_bug_leaves_its_traceback_and_reason(plan, tmp_path):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    job = portable(Job(config, 1, fold_works.breaks))
    error = cluster_worker.work(job, NODE, "/")
    assert isinstance(error, FoldFailed) and str(error).endswith(f"see {config.fold_dir(1) / 'traceback.txt'}")
    assert fold_status.read_failure(config.fold_dir(1)) == str(error)
    assert cluster_worker.work(replace(job, target=fold_works.ends), NODE, "/") == FoldFinished(None, 0)
    assert not (config.fold_dir(1) / "traceback.txt").exists()


def test_the_end_of_an_allocation_passes_through(plan, tmp_path):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    with pytest.raises(SystemExit):
        cluster_worker.work(portable(Job(config, 1, fold_works.exits)), NODE, "/")
    assert fold_status.read_failure(config.fold_dir(1)) is None, "the cluster starts it again"


def test_cancel_removes_jobs_that_outlived_their_command(plan, tmp_path, monkeypatch):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    job, cancelled = Job(config, 1, fold_works.ends), []
    accepts = iter([False, True])
    monkeypatch.setattr(slurm_commands, "cancel_jobs", lambda jobs: cancelled.append(jobs) or next(accepts))
    with SweepFile("slurm", [job]) as sweep:
        sweep.update({sweeps.queue_key(job): "12_0"})
    assert not sweeps.read_sweeps(tmp_path / "runs")[0].is_alive
    with pytest.raises(CheckFailed, match=r"Slurm has not cancelled job 12; .*scancel 12"):
        cancel(tmp_path / "runs")
    (line,) = cancel(tmp_path / "runs")
    assert line.startswith("cancelled slurm on ") and cancelled == [["12_0"]] * 2
    assert not list((tmp_path / "runs" / sweeps.FOLDER).iterdir())


def test_jobs_that_left_the_queue_are_not_waiting(plan, tmp_path, monkeypatch):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    run_file.write(config, {})
    jobs = [Job(config, fold, fold_works.ends) for fold in (1, 2)]
    with SweepFile("slurm", jobs) as sweep:
        sweep.update({sweeps.queue_key(job): f"12_{job.fold}" for job in jobs})
    for active, expected in ((None, ["waiting", "waiting"]), ({"12_2"}, ["not started", "waiting"])):
        monkeypatch.setattr(slurm_commands, "active_jobs", lambda active=active: active)
        assert [fold.state for fold in status(tmp_path / "runs").folds] == [*expected, "not started"]


def test_cancel_leaves_the_jobs_to_a_command_that_ends(plan, tmp_path, monkeypatch):
    """Slurm refuses ids of jobs that have left the queue."""
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    job = Job(config, 1, fold_works.ends)
    monkeypatch.setattr(slurm_commands, "cancel_jobs", lambda jobs: pytest.fail("the command has cancelled them"))
    with SweepFile("slurm", [job]) as sweep:
        sweep.update({sweeps.queue_key(job): "12_0"})
        monkeypatch.setattr(run_status, "stop_sweeps", lambda asked: [each for each in asked if each.remove()])
        (line,) = cancel(tmp_path / "runs")
        sweep.update({})
    assert line.startswith("cancelled slurm on ")


def test_cancel_says_that_a_killed_command_had_ended(plan, tmp_path):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    with SweepFile("local", [Job(config, 1, fold_works.ends)]) as sweep:
        content = sweep._path.read_bytes()
    sweep._path.parent.mkdir(exist_ok=True)
    sweep._path.write_bytes(content)
    (line,) = cancel(tmp_path / "runs")
    assert line.startswith("had ended already: local on ")
    assert not list((tmp_path / "runs" / sweeps.FOLDER).iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rya",), "--engine: no engine 'rya'; did you mean 'ray'?"),
        (("ray", "mps"), "--device: no device 'mps' on clusters; known: auto, cpu, cuda"),
    ],
)
def test_wrong_engines_are_one_line(words, message):
    with pytest.raises(UsageError) as raised:
        choose_engine(*words)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus_per_fold": 0.0}, "--gpus-per-fold: cannot be 0; give a part of a GPU such as 0.5, or 1"),
        ({"gpus_per_fold": math.inf}, "--gpus-per-fold: cannot be inf; give a part of a GPU such as 0.5, or 1"),
        ({"gpus_per_fold": math.nan}, "--gpus-per-fold: cannot be nan; give a part of a GPU such as 0.5, or 1"),
        ({"gpus_per_fold": 1.5}, "--gpus-per-fold: cannot be 1.5; give a part of a GPU such as 0.5, or 1"),
        ({"gpus_per_fold": 2}, "--gpus-per-fold: cannot be 2; give a part of a GPU such as 0.5, or 1"),
        ({"device": "cpu", "gpus_per_fold": 0.5}, "--gpus-per-fold: needs GPUs; omit it with --device cpu"),
        ({"slurm": "time=4h"}, "--slurm: is an option of --engine slurm; omit one of them"),
    ],
)
def test_wrong_options_of_ray_are_one_line(options, message):
    with pytest.raises(UsageError) as raised:
        choose_engine("ray", **options)
    assert str(raised.value) == message
