"""Several runs at once: each has its record as soon as its last fold is done."""

from __future__ import annotations

import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pandas as pd
import pytest

from aubench._util import atomic, ranks
from aubench.core.conditions import Condition
from aubench.results import record
from aubench.runs import condition_scores, record_builder, run_file
from aubench.runs import fold as fold_module
from aubench.runs import runner as run_module
from aubench.runs.condition_scores import ConditionScores
from aubench.runs.config import RunConfig
from aubench.runs.devices import DeviceChoice
from aubench.runs.events import ConditionsEvaluated


@pytest.fixture
def configs(decide, tmp_path) -> list[RunConfig]:
    small = {"image_size": 32, "crop": 28, "frames_per_epoch": 100, "epochs": 1, "validation_stride": 8}
    return [decide(tmp_path, "resnet_depth", seed=seed, **small) for seed in (0, 1)]


@pytest.mark.slow
def test_a_run_has_its_record_before_the_next_one_is_done(configs, monkeypatch):
    there = []

    def one_after_the_other(jobs, choice, report):
        for job in jobs:
            fold_module.run_fold(job.config, job.fold, "cpu", 0, lambda event, job=job: report(job, event))
            there.append([(config.run_dir / "record" / "record.json").exists() for config in configs])

    monkeypatch.setattr(run_module, "run_jobs", one_after_the_other)
    recorded = []
    choice = DeviceChoice("cpu", 1, "some")
    run_module.run_folds(configs, [1, 2], choice, lambda *_: None, lambda config, _: recorded.append(config.run_id))
    assert there == [[False, False], [True, False], [True, False], [True, True]]
    assert recorded == [config.run_id for config in configs]


@pytest.mark.slow
def test_events_that_arrive_after_all_folds_give_one_record(configs, monkeypatch):
    def late(jobs, choice, report):
        events = []
        for job in jobs:
            fold_module.run_fold(job.config, job.fold, "cpu", 0, lambda event, job=job: events.append((job, event)))
        for job, event in events:
            report(job, event)

    monkeypatch.setattr(run_module, "run_jobs", late)
    recorded, choice = [], DeviceChoice("cpu", 1, "some")
    run_module.run_folds(configs[:1], [1, 2], choice, lambda *_: None, lambda *recording: recorded.append(recording))
    assert len(recorded) == 1


def test_each_finished_fold_is_read_once(configs, monkeypatch):
    for config in configs:
        for fold in (1, 2):
            config.fold_dir(fold).mkdir(parents=True)
            (config.fold_dir(fold) / "result.json").write_text("{}")
    read = []
    monkeypatch.setattr(record_builder, "read_summary", lambda folder: read.append(folder) or {})
    monkeypatch.setattr(run_module, "run_jobs", lambda jobs, choice, report: None)
    monkeypatch.setattr(run_module, "record_is_current", lambda config: True)
    run_module.run_folds(configs, [1, 2, 3], DeviceChoice("cpu", 1, "some"), lambda *_: None)
    assert sorted(read) == sorted(config.fold_dir(fold) for config in configs for fold in (1, 2))


@pytest.mark.slow
def test_a_record_that_lacks_a_finished_fold_is_written_anew(configs, monkeypatch):
    def here(jobs, choice, report):
        for job in jobs:
            fold_module.run_fold(job.config, job.fold, "cpu", 0, lambda event, job=job: report(job, event))

    monkeypatch.setattr(run_module, "run_jobs", here)
    (config, _), choice = configs, DeviceChoice("cpu", 1, "some")
    run_module.run_folds([config], [1], choice, lambda job, event: None)
    fold_module.run_fold(
        config, 2, "cpu", 0, lambda event: None
    )  # by another process, killed before it wrote the record
    run_module.run_folds([config], [2], choice, lambda job, event: None)
    assert [fold.fold for fold in record.read(config.run_dir / "record").info.folds] == [1, 2]


@pytest.mark.slow
def test_a_record_names_all_code_and_devices_that_finished_a_fold(configs, monkeypatch):
    def elsewhere(jobs, choice, report):
        for job in jobs:
            commit = str(job.fold % 2) * 40
            monkeypatch.setattr(
                fold_module.environment, "git", lambda commit=commit: {"commit": commit, "dirty": False}
            )
            fold_module.run_fold(job.config, job.fold, "cpu", 0, lambda event, job=job: report(job, event))

    monkeypatch.setattr(run_module, "run_jobs", elsewhere)
    run_module.run_folds(configs[:1], [1, 2, 3], DeviceChoice("cpu", 1, "some"), lambda job, event: None)
    info = record.read(configs[0].run_dir / "record").info
    assert info.git.commit == "1" * 40 and [one.git.commit for one in info.other_environments] == ["0" * 40]
    assert info.other_environments[0].device == info.device and info.other_environments[0].packages == info.packages


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_of_a_fold_on_several_devices_writes_the_record(configs, monkeypatch, rank):
    trained, written = [], []
    monkeypatch.setattr(run_module, "run_fold", lambda *work: trained.append(work))
    monkeypatch.setattr(run_module, "write_record", written.append)
    monkeypatch.setattr(ranks, "rank", lambda: rank)
    run_module._finish_fold(configs[0], 1, "cpu", rank, print)
    assert len(trained) == 1 and written == configs[: 1 - rank]


def test_two_commands_that_start_a_run_at_once_write_its_file_once(configs, monkeypatch):
    write = atomic.write_json
    written = []

    def slow(path, content):
        time.sleep(0.1)
        written.append(content["started"])
        write(path, content)

    monkeypatch.setattr(atomic, "write_json", slow)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: run_file.write(configs[0], {"started": name}), "ab"))
    assert len(written) == 1 and run_file.read(configs[0])["started"] == written[0]
    assert [path.name for path in configs[0].run_dir.iterdir()] == ["run.json"]


def test_scores_of_a_suite_are_in_memory_for_one_run_at_a_time(configs, monkeypatch):
    """Events say only that a fold has been evaluated, and each record reads its scores itself."""
    made, most = [], []

    def live() -> int:
        return sum(reference() is not None for reference in made)

    def read(config, fold):
        scores = ConditionScores(("noise:all:0.5",), pd.DataFrame(), pd.DataFrame())
        made.append(weakref.ref(scores))
        most.append(live())
        return scores

    def evaluate(jobs, choice, report):
        assert not live(), "the search for missing conditions keeps nothing"
        for job in jobs:
            report(job, ConditionsEvaluated(2))

    for config in configs:
        for fold in (1, 2, 3):
            config.fold_dir(fold).mkdir(parents=True)
    monkeypatch.setattr(run_module, "finished_folds", lambda config: [1, 2, 3])
    monkeypatch.setattr(record_builder, "finished_folds", lambda config: [1, 2, 3])
    monkeypatch.setattr(record_builder.FoldResult, "load", lambda folder: None)
    monkeypatch.setattr(condition_scores, "read", read)
    monkeypatch.setattr(record_builder, "_build", lambda config, results, scored: SimpleNamespace(write=written.append))
    monkeypatch.setattr(run_module, "run_jobs", evaluate)
    written = []
    conditions = [Condition.parse("noise:all:0.2"), Condition.parse("noise:all:0.8")]
    run_module.evaluate_conditions(configs, lambda config: conditions, DeviceChoice("cpu", 1, "some"), lambda *_: None)
    assert written == [config.run_dir / "record" for config in configs]
    assert max(most) == 3, "folds of one run"
