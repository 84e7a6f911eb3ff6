"""Workers of a search: heartbeats, killed workers, and resumption."""

import json
import signal
import threading
import time
from pathlib import Path

import pytest
from factories.searches import SearchProcess, check_trials, kill_one_of_two, search_words

pytest.importorskip("optuna")

import optuna

from aubench.tuning import worker as worker_module
from aubench.tuning.storage import open_storage
from aubench.tuning.worker import Worker, requeue


def sqlite_address(folder: Path) -> str:
    return f"sqlite:///{folder / 'studies.db'}"


@pytest.mark.parametrize("drawn", [0, 1])
def test_the_preset_is_queued_again_if_its_worker_dies_before_all_values_are_drawn(drawn):
    study, preset = optuna.create_study(), {"learning_rate": 0.5, "weight_decay": 0.25}
    study.enqueue_trial(preset)
    trial = study.ask()
    for name in list(preset)[:drawn]:
        trial.suggest_float(name, 0, 1)
    assert requeue(study, study.get_trials(deepcopy=False)[0])
    again = study.ask()
    assert {name: again.suggest_float(name, 0, 1) for name in preset} == preset


@pytest.mark.slow
def test_a_trial_without_signs_of_life_is_lost_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_module, "STALE_SECONDS", 0.2)
    study = optuna.create_study(storage=open_storage(sqlite_address(tmp_path)))
    trial = study.ask()
    with Worker(tmp_path) as worker:

        def lost():
            return worker.is_stale(study.get_trials(deepcopy=False)[0])

        trial.set_user_attr("worker", "on another machine")
        for beat in range(3):
            trial.set_user_attr("beat", beat)
            assert not lost()
            time.sleep(0.15)
        time.sleep(0.15)
        assert lost()


def test_a_storage_that_is_away_for_a_moment_does_not_cost_a_trial(monkeypatch):
    monkeypatch.setattr(worker_module, "BEAT_SECONDS", 0.01)
    beats, came = [], threading.Event()

    def mark(name, number):
        beats.append(number)
        if number < 3:
            raise ConnectionError("away")
        came.set()

    with worker_module.heartbeat(mark):
        assert came.wait(30)
    assert beats[:3] == [1, 2, 3]


@pytest.mark.slow
def test_a_worker_that_has_died_is_seen_at_once(tmp_path):
    study = optuna.create_study(storage=open_storage(sqlite_address(tmp_path)))
    trial = study.ask()
    with Worker(tmp_path) as first, Worker(tmp_path) as other:
        assert (first.slot, other.slot) == (0, 1)
        trial.set_user_attr("worker", first.id)
        assert not other.is_stale(study.get_trials(deepcopy=False)[0])
        first._locks.close()
        (tmp_path / "workers" / f"{first.id}.lock").touch()  # state after kill -9: the file exists and is not locked
        assert other.is_stale(study.get_trials(deepcopy=False)[0])


@pytest.mark.slow
def test_only_one_worker_of_a_folder_asks_for_a_trial_at_a_time(tmp_path, monkeypatch):
    study, barrier = optuna.create_study(), threading.Barrier(2)
    ask, asking, counts = study.ask, set(), []

    def count_and_ask():
        asking.add(threading.get_ident())
        time.sleep(0.1)
        counts.append(len(asking))
        asking.remove(threading.get_ident())
        return ask()

    def work(sampler):
        with Worker(tmp_path) as worker:
            barrier.wait(30)
            for trial in worker_module.claim_trials(study, worker, 4, lambda existing: sampler, lambda line: None):
                study.tell(trial, 0.5)

    monkeypatch.setattr(study, "ask", count_and_ask)
    threads = [threading.Thread(target=work, args=(optuna.samplers.RandomSampler(seed=seed),)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(counts) >= 4 and set(counts) == {1}


@pytest.mark.slow
def test_two_workers_share_the_trials_and_one_is_killed(call, small_store, tmp_path):
    storage = sqlite_address(tmp_path)
    words = search_words(small_store, 3, "--storage", storage, "--fold", "1")
    kill_one_of_two(call, tmp_path, words)
    check_trials(optuna.load_study(study_name="two", storage=open_storage(storage)), 3)


@pytest.mark.slow
@pytest.mark.nightly
def test_a_killed_search_goes_on_by_the_same_command_and_its_recipe_is_run(call, small_store, tmp_path):
    words = search_words(small_store, 2)
    assert SearchProcess(tmp_path, words, fold=2).kill_at(trials=1) == -signal.SIGKILL
    again = call(*words)
    assert again.code == 0, again.err
    assert "lost its worker and is queued again" in again.err and "2 (0 pruned)" in again.out
    study = optuna.load_study(study_name="two", storage=open_storage(sqlite_address(tmp_path / "runs")))
    check_trials(study, 2)
    assert {"history.png", "slices.png", "parallel_coordinates.png"} <= {
        path.name for path in (tmp_path / "runs/studies/two").glob("*.png")
    }
    assert (tmp_path / "runs/studies/two/figures.html").read_text().count("Plotly.newPlot(") >= 3
    run = call("run", "--no-track", "--from-study", "two", "--store", small_store, "--seed", "1", "--device", "cpu")
    assert run.code == 0, run.err
    records = [json.loads(path.read_text()) for path in tmp_path.glob("runs/synth_3fold/late_fusion/*/record/*.json")]
    assert [record["seed"] for record in records] == [1]
    for record in records:
        assert record["search"]["trials"] == 2 and record["search"]["study"] == "two"
        assert record["search"]["frames"] == 2 * 3 * 2 * 64 and record["search"]["seconds"] > 0
        assert record["recipe"]["learning_rate"] == study.best_params["learning_rate"]
        assert len(record["folds"]) == 3
