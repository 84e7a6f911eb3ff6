"""Folds on a Ray cluster: a lost node costs nothing but time, and errors of aubench are final."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from engines.conftest import read_tables
from factories import fold_works

from aubench.core.errors import UsageError
from aubench.runs.engine import Job
from aubench.runs.events import FoldFinished
from aubench.runs.fold_process import FoldFailed
from aubench.runs.runner import run_folds
from aubench.runs.scheduler import run_jobs

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster():
    """A node on this machine with one core. The nightly tests add others."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # of the works in `factories`
        nodes = Cluster(initialize_head=True, head_node_args=NODE)
        yield nodes
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture
def choice(cluster):
    from aubench.engines.choice import choose_engine

    return choose_engine("ray", address=cluster.address)


def test_without_gpus_auto_is_the_cpu(choice):
    assert (choice.kind, choice.gpus_per_fold, choice.remote) == ("cpu", 0.0, True)


def test_an_error_is_final_and_a_bug_is_one_line(choice, plan, tmp_path):
    first, other = plan(tmp_path / "runs")
    jobs = [Job(first, 1, fold_works.diverges_once), Job(other, 1, fold_works.breaks)]
    events = []
    with pytest.raises(FoldFailed, match="2 runs failed; the first: ") as raised:
        run_jobs(jobs, choice, lambda job, event: events.append((job.config.seed, str(event))))
    assert raised.value.exit_code in (1, 2)
    reasons = "\n".join(text for _, text in events)
    assert "loss term 'total' is not finite" in reasons
    assert "fold 1 of resnet_depth broke (KeyError: 'a bug" in reasons
    assert (first.fold_dir(1) / "attempts").read_text() == "x", "it was not tried again"
    assert json.loads((first.fold_dir(1) / "failed.json").read_text())["reason"].endswith("is not finite")


@pytest.mark.nightly
def test_a_worker_that_is_killed_starts_again(choice, plan, tmp_path):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    events = []
    run_jobs([Job(config, 1, fold_works.is_killed_once)], choice, lambda job, event: events.append(event))
    assert events == [FoldFinished(None, 0)]
    assert (config.fold_dir(1) / "attempts").read_text() == "xx"


@pytest.mark.nightly
def test_a_node_that_dies_in_a_sweep_loses_nothing(cluster, choice, plan, reference, tmp_path):
    configs, finished, recorded = plan(tmp_path / "runs"), Counter(), []
    others = [cluster.add_node(**NODE) for _ in range(2)]

    def report(job, event):
        if isinstance(event, FoldFinished):
            finished[job.config.run_id, job.fold] += 1
            if len(finished) == 1:
                cluster.remove_node(others.pop(), allow_graceful=False)

    run_folds(configs, (1, 2), choice, report, lambda config, record: recorded.append(config.run_id))
    assert len(others) == 1
    assert finished == Counter({(config.run_id, fold): 1 for config in configs for fold in (1, 2)})
    assert sorted(recorded) == sorted(config.run_id for config in configs)
    assert {config.run_id: read_tables(config) for config in configs} == reference(folds=(1, 2))
    assert not list((tmp_path / "runs").rglob("running.json"))


def test_no_cluster_is_one_line(monkeypatch):
    from aubench.engines import ray_engine

    def refuse(address, **settings):
        raise ConnectionError(f"Could not find any running Ray instance at {address}.\nDetails")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    for address, reason in (
        ("127.0.0.1:1", "Connection refused"),
        ("head..node:6379", ".*label"),
    ):
        with pytest.raises(UsageError, match=rf"--address {address}: no Ray cluster \({reason}"):
            ray_engine.connect(address)
    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    message = r"--address auto: no Ray cluster \(Could .* at auto.\); start one with `ray start --head`, or give"
    with pytest.raises(UsageError, match=message):
        ray_engine.connect(None)


def test_a_cluster_with_another_version_of_ray_is_one_line(monkeypatch):
    from aubench.engines import ray_engine

    def refuse(address, **settings):
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.10.1\n")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    message = (
        r"--address auto: cannot join the Ray cluster \(Version .*: Ray: 2.9.0 Python: 3.10.1\s*\); use the cluster's"
    )
    with pytest.raises(UsageError, match=message):
        ray_engine.connect("auto")
