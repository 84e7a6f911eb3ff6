"""Studies: budgets, storages, samplers and pruners, what is queued again, and what MLflow gets."""

import contextlib
import json
from pathlib import Path

import pytest

pytest.importorskip("optuna")

import numpy as np
import optuna

import aubench
from aubench.api.searches import TuningResults
from aubench.core.errors import Diverged, RecipeError, UsageError
from aubench.data.store import Store
from aubench.runs.devices import DeviceChoice
from aubench.runs.fold_process import FoldFailed
from aubench.runs.store_ref import StoreRef
from aubench.runs.sweeps import Cancelled
from aubench.tuning import study as study_module
from aubench.tuning import study_files
from aubench.tuning import trial as trial_module
from aubench.tuning.search_config import SearchConfig
from aubench.tuning.storage import PRUNERS, SAMPLERS, make_pruner, make_sampler, open_storage
from aubench.tuning.study import run_search
from aubench.tuning.worker import finished_trials, requeue

CPU = DeviceChoice("cpu", 1, "a test")


def here(jobs, choice, report):
    """Folds in this process: quick, and visible to monkeypatches."""
    for job in jobs:
        trial_module.train_and_validate(job.config, job.fold, choice.kind, 0, lambda event, job=job: report(job, event))


def address(kind: str, folder: Path) -> str:
    return f"journal:{folder / 'journal'}" if kind == "journal" else f"sqlite:///{folder / 'studies.db'}"


def run(search, storage, count, **options):
    return run_search(search, storage, count, CPU, lambda line: None, **options)


def states(study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_has_its_trials_and_goes_on(search_for, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(trial_module, "run_jobs", here)
    search, storage = search_for(folds=(1,), fixed={"epochs": 1}), address(kind, tmp_path)
    study = run(search, storage, 2)
    assert states(study) == ["COMPLETE"] * 2
    again = run(search, storage, 3)
    assert states(again) == ["COMPLETE"] * 3 and again.trials[0].params == study.trials[0].params
    assert run(search, storage, 3).best_value == max(trial.value for trial in again.trials)
    assert set(again.best_params) == set(search.space.ranges)


@pytest.mark.slow
def test_the_folder_of_a_study_is_not_that_of_another(search_for, tmp_path, monkeypatch):
    monkeypatch.setattr(trial_module, "run_jobs", here)
    search = search_for(folds=(1,), fixed={"epochs": 1})
    run(search, address("sqlite", tmp_path), 1)
    before = {path: path.read_bytes() for path in search.folder.rglob("*.json")}
    with pytest.raises(UsageError, match=r"has the trials of another study .* give another name with --study"):
        run(search, address("journal", tmp_path), 1)
    assert before and all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.slow
def test_suggestions_follow_the_seed_and_do_not_depend_on_interruptions(search_for, tmp_path, monkeypatch):
    monkeypatch.setattr(trial_module, "run_jobs", here)
    small = {"folds": (1,), "fixed": {"epochs": 1}}
    uninterrupted = run(search_for(name="whole", **small), address("sqlite", tmp_path), 3)
    run(search_for(name="parts", **small), address("sqlite", tmp_path), 1)
    resumed = run(search_for(name="parts", **small), address("sqlite", tmp_path), 3)
    other = run(search_for(name="other", seed=1, **small), address("sqlite", tmp_path), 2)
    assert [t.params for t in resumed.trials] == [t.params for t in uninterrupted.trials]

    def interrupt(jobs, choice, report):
        raise KeyboardInterrupt

    cut = search_for(name="cut", **small)
    run(cut, address("sqlite", tmp_path), 1)
    monkeypatch.setattr(trial_module, "run_jobs", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(cut, address("sqlite", tmp_path), 3)
    monkeypatch.setattr(trial_module, "run_jobs", here)
    done = [t for t in run(cut, address("sqlite", tmp_path), 3).trials if t.state.name == "COMPLETE"]
    assert [t.params for t in done] == [t.params for t in uninterrupted.trials]
    assert len({str(t.params) for t in [*uninterrupted.trials[1:], other.trials[1]]}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_search_begins_with_the_preset_so_its_best_is_no_worse(search_for, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(trial_module, "run_jobs", here)
    search = search_for(folds=(1,), fixed={"epochs": 1, "learning_rate": 0.005}, preset="tiny")
    first = run(search, address(kind, tmp_path), 1).trials[0]
    assert first.params and search.trial_config(first.params).recipe == search.base_config.recipe
    assert run(search, address(kind, tmp_path), 3).best_value >= first.value


@pytest.mark.parametrize("name", ["set_user_attr", "enqueue_trial"])
@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_study_whose_creation_was_interrupted_is_completed(search_for, tmp_path, monkeypatch, name, calls):
    monkeypatch.setattr(study_module, "POLL_SECONDS", 0)
    search, storage = search_for(), open_storage(address("sqlite", tmp_path))
    with monkeypatch.context() as patch:
        real, done = getattr(optuna.Study, name), []

        def interrupt(*words, **options):
            if len(done) == calls:
                raise KeyboardInterrupt
            done.append(real(*words, **options))

        patch.setattr(optuna.Study, name, interrupt)
        with contextlib.suppress(KeyboardInterrupt):
            study_module._create_or_load(search, storage)
    study = study_module._create_or_load(search, storage)
    assert study.user_attrs["aubench"] == search.binding() and len(study.user_attrs) == 3
    (trial,) = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.WAITING])
    assert trial.system_attrs["fixed_params"] == search.space.restrict(search.base_config.recipe)


def test_a_named_field_whose_preset_is_outside_of_its_range_is_announced(search_for, tmp_path, monkeypatch):
    def diverges(jobs, choice, report):
        raise Diverged("loss term 'total' is not finite")

    monkeypatch.setattr(trial_module, "run_jobs", diverges)
    search, lines = search_for(space=["learning_rate", "weight_decay"]), []
    study = run_search(search, address("sqlite", tmp_path), 1, CPU, lines.append)
    assert lines[0] == (
        f"{search.name}: no trial is the preset, which is outside of the search range (weight_decay 0.0)"
    )
    (trial,) = study.get_trials(deepcopy=False)
    assert trial.params["learning_rate"] == search.base_config.recipe["learning_rate"]
    assert trial.params["weight_decay"] > 0


def test_fixed_values_are_stored_and_compared_as_the_recipe_reads_them(search_for, tmp_path):
    storage = open_storage(address("sqlite", tmp_path))
    given = {"epochs": np.int64(1), "flip": np.True_, "dropout": np.float32(0.25), "learning_rate": "0.005"}
    search = search_for("mft", fixed=given)
    assert search.fixed == search_for().fixed | {"epochs": 1, "flip": True, "dropout": 0.25, "learning_rate": 0.005}
    study_module._create_or_load(search, storage)
    study_files.write_study(search, "")
    equal = {"epochs": "1", "flip": "true", "dropout": 0.25, "learning_rate": 5e-3}
    study_module._create_or_load(search_for("mft", fixed=equal), storage)
    with pytest.raises(UsageError, match="has another --set"):
        study_module._create_or_load(search_for("mft", fixed=equal | {"epochs": 2}), storage)


def test_what_of_a_preset_lies_outside_its_range_is_drawn(search_for):
    space = search_for(fixed={"learning_rate": 0.005}).space
    assert space.restrict(dict.fromkeys(space.ranges, 99.0)) == {}


@pytest.mark.parametrize("name", PRUNERS)
def test_pruners_by_name(name):
    assert isinstance(make_pruner(name, epochs=7, folds=3), optuna.pruners.BasePruner)


@pytest.mark.parametrize("name", ["GridSampler", "TPE", ""])
def test_other_names_are_no_sampler_and_no_pruner(name):
    with pytest.raises(UsageError, match=f"--sampler: cannot be '{name}'"):
        make_sampler(name, 0)
    with pytest.raises(UsageError, match=f"--pruner: cannot be '{name}'"):
        make_pruner(name, epochs=7, folds=3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_by_name_draw_from_every_kind_of_range(name):
    study = optuna.create_study(sampler=make_sampler(name, 2**63 - 1), direction="maximize")

    def objective(trial):
        rate = trial.suggest_float("rate", 1e-5, 1e-2, log=True)
        return -abs(rate - 1e-3) + trial.suggest_int("whole", 1, 4) * (trial.suggest_categorical("word", "ab") == "a")

    study.optimize(objective, n_trials=8)
    assert states(study) == ["COMPLETE"] * 8


@pytest.mark.slow
def test_a_bad_trial_is_pruned_and_counts(search_for, tmp_path, monkeypatch):
    monkeypatch.setattr(trial_module, "run_jobs", here)
    search = search_for(folds=(1, 2), pruner="median")
    storage = address("sqlite", tmp_path)
    monkeypatch.setattr("aubench.tuning.storage._STARTUP", 1)
    monkeypatch.setattr(
        optuna.pruners.MedianPruner, "prune", lambda self, study, trial: trial.number == 1 and trial.last_step == 2
    )
    study = run(search, storage, 3)
    assert states(study) == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert max(study.trials[1].intermediate_values) == 2
    results = [json.loads(path.read_text()) for path in sorted((search.folder / "finished").glob("*.json"))]
    assert [t["state"] for t in results] == ["complete", "pruned", "complete"]
    assert results[1]["f1"] is None and results[1]["cost"]["frames"] == results[0]["cost"]["frames"] / 2


@pytest.mark.slow
def test_a_whole_study_ends_where_no_test_image_can_be_read(
    search_for, store_without_test_images, tmp_path, monkeypatch
):
    monkeypatch.setattr(trial_module, "run_jobs", here)
    store = StoreRef.from_store(Store(store_without_test_images))
    study = run(search_for(folds=(1,), fixed={"epochs": 1}, store=store), address("sqlite", tmp_path), 3)
    assert len(finished_trials(study)) == 3


@pytest.mark.slow
def test_a_recipe_that_diverges_is_pruned_and_the_search_goes_on(search_for, tmp_path, monkeypatch):
    def diverges(jobs, choice, report):
        raise Diverged("loss term 'total' is not finite")

    monkeypatch.setattr(trial_module, "run_jobs", diverges)
    study = run(search_for(folds=(1,)), address("sqlite", tmp_path), 2)
    assert states(study) == ["PRUNED", "PRUNED"]


def test_values_that_do_not_fit_together_are_pruned_and_the_search_goes_on(search_for, tmp_path, monkeypatch):
    create, tried, lines = SearchConfig.trial_config, [], []

    def refuse_one(self, values):
        tried.append(values)
        if len(tried) == 2:
            raise RecipeError("a is above b", where="recipe")
        return create(self, values)

    def diverges(jobs, choice, report):
        raise Diverged("loss term 'total' is not finite")

    monkeypatch.setattr(SearchConfig, "trial_config", refuse_one)
    monkeypatch.setattr(trial_module, "run_jobs", diverges)
    search = search_for(folds=(1,))
    study = run_search(search, address("sqlite", tmp_path), 3, CPU, lines.append)
    assert states(study) == ["PRUNED"] * 3
    assert [line for line in lines if "a is above b" in line] == [
        f"{search.name}: 2 of 3, trial 1: pruned (recipe: a is above b)"
    ]
    results = study_files.read_trial_files(search.folder)
    assert results[1]["values"] == tried[1] and study_files.total_cost([r["cost"] for r in results]) == (0, 0)


def test_missing_files_of_finished_trials_are_written_from_the_storage(search_for, tmp_path, monkeypatch):
    search, storage, existing = search_for(folds=(1,)), address("journal", tmp_path), []
    finished = search.folder / "finished"

    def diverges(jobs, choice, report):
        existing.append({path.name for path in finished.glob("*.json")})
        raise Diverged("loss term 'total' is not finite")

    monkeypatch.setattr(trial_module, "run_jobs", diverges)
    run(search, storage, 2)
    before = {path: path.read_bytes() for path in finished.glob("*.json")}
    for path in before:
        path.unlink()
    run(search, storage, 3)
    assert existing == [set(), {"00000.json"}, {"00000.json", "00001.json"}]
    assert len(before) == 2 and all(path.read_bytes() == content for path, content in before.items())


def test_files_of_trials_that_another_folder_has_are_written_at_the_end(search_for, tmp_path, monkeypatch):
    search, storage = search_for(folds=(1,)), address("journal", tmp_path)

    def diverges(jobs, choice, report):
        monkeypatch.setattr("aubench.tuning.study_files.write_trial", write)
        raise Diverged("loss term 'total' is not finite")

    def write(search, recipe, trial):
        monkeypatch.setattr("aubench.tuning.study_files.write_trial", write_trial)

    write_trial = study_files.write_trial
    monkeypatch.setattr(trial_module, "run_jobs", diverges)
    run(search, storage, 1)
    assert [path.name for path in (search.folder / "finished").glob("*.json")] == ["00000.json"]


@pytest.mark.slow
@pytest.mark.parametrize("end", [KeyboardInterrupt, Cancelled])
def test_an_interrupted_trial_is_queued_again_with_its_values(search_for, tmp_path, monkeypatch, end):
    def interrupt(jobs, choice, report):
        raise end("by the user")

    search, storage = search_for(folds=(1,), fixed={"epochs": 1}), address("sqlite", tmp_path)
    monkeypatch.setattr(trial_module, "run_jobs", interrupt)
    with pytest.raises(end):
        run(search, storage, 1)
    monkeypatch.setattr(trial_module, "run_jobs", here)
    study = run(search, storage, 1)
    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.trials[0].params == study.trials[1].params and study.trials[1].user_attrs["retry_of"] == 0


@pytest.mark.slow
def test_a_recipe_that_ends_in_an_error_is_not_suggested_again(search_for, tmp_path, monkeypatch):
    def fail(jobs, choice, report):
        raise FoldFailed("out of memory")

    search, storage = search_for(folds=(1,), fixed={"epochs": 1}, sampler="random"), address("sqlite", tmp_path)
    monkeypatch.setattr(trial_module, "run_jobs", here)
    run(search, storage, 1)
    monkeypatch.setattr(trial_module, "run_jobs", fail)
    for _ in range(2):
        with pytest.raises(FoldFailed):
            run(search, storage, 2)
    monkeypatch.setattr(trial_module, "run_jobs", here)
    assert states(study := run(search, storage, 2)) == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert len({str(trial.params) for trial in study.trials}) == 4


def test_a_trial_that_was_taken_over_and_ends_in_an_error_says_that_error(search_for, tmp_path, monkeypatch):
    search, storage = search_for(folds=(1,)), address("sqlite", tmp_path)

    def fail(jobs, choice, report):
        study = optuna.load_study(study_name=search.name, storage=storage)
        requeue(study, study.trials[0])
        raise FoldFailed("out of memory")

    monkeypatch.setattr(trial_module, "run_jobs", fail)
    with pytest.raises(FoldFailed, match="out of memory"):
        run(search, storage, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampler",
    [optuna.samplers.RandomSampler(seed=3), optuna.samplers.GridSampler({"learning_rate": [1e-3]}, seed=3)],
    ids=["random", "grid"],
)
def test_the_python_entry_takes_a_sampler_of_ones_own(small_store, tmp_path, monkeypatch, sampler):
    monkeypatch.setattr(trial_module, "run_jobs", here)
    results = aubench.tune(
        "late_fusion",
        "synth_3fold",
        2,
        sampler=sampler,
        pruner="none",
        fold="1",
        overrides={"image_size": 32, "crop": 28, "frames_per_epoch": 100, "epochs": 1},
        space=["learning_rate"],
        store=small_store,
        runs=tmp_path / "runs",
        device="cpu",
    )
    (study,) = results.studies
    assert isinstance(study, optuna.Study)
    frame = results.to_dataframe()
    assert list(frame["recipe.learning_rate"]) == [trial.params["learning_rate"] for trial in study.trials]
    assert list(frame["f1"]) == study.trials_dataframe()["value"].tolist() and set(frame["state"]) == {"complete"}
    assert len({trial.params["learning_rate"] for trial in study.trials}) == 2
    assert study.user_attrs["aubench"]["sampler"] == type(sampler).__name__


def test_searches_with_one_sampler_object_do_not_depend_on_each_other(search_for, tmp_path, monkeypatch):
    def diverges(jobs, choice, report):
        raise Diverged("loss term 'total' is not finite")

    monkeypatch.setattr(trial_module, "run_jobs", diverges)
    sampler, storage = optuna.samplers.RandomSampler(seed=3), address("sqlite", tmp_path)
    first, second = (run(search_for(name=name), storage, 3, sampler=sampler) for name in ("first", "second"))
    assert [trial.params for trial in first.trials] == [trial.params for trial in second.trials]
    assert first.trials[1].params != first.trials[2].params


def test_a_sampler_that_cannot_be_copied_is_refused_before_the_search(search_for, tmp_path):
    sampler = optuna.samplers.RandomSampler()
    sampler.lines = (line for line in ())
    with pytest.raises(UsageError, match=r"sampler: RandomSampler cannot be copied .*generator"):
        run(search_for(), address("sqlite", tmp_path), 1, sampler=sampler)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_mistake_of_a_later_method_ends_the_command_before_the_first_search(small_store, tmp_path, monkeypatch):
    searched = []
    monkeypatch.setattr("aubench.tuning.study.run_search", lambda search, *_: searched.append(search.name))
    monkeypatch.setattr("aubench.plots.study_report.plot", lambda *_: [])
    words = {"space": "cut_switch", "store": small_store, "runs": tmp_path / "runs", "device": "cpu"}
    with pytest.raises(UsageError, match="'cut_switch' has no range"):
        aubench.tune("amf,mcm", "synth_3fold", 3, **words)
    assert searched == []


@pytest.mark.slow
@pytest.mark.parametrize("study", [None, "mine"])
def test_two_files_of_one_name_are_refused_before_the_first_search(small_store, tmp_path, monkeypatch, study):
    monkeypatch.setattr("aubench.tuning.study.run_search", lambda *_: pytest.fail("searched"))
    own = tmp_path / "late_fusion.py"
    own.write_text("from aubench.methods.late_fusion import LateFusion\n\n\nclass Own(LateFusion):\n    pass\n")
    words = {"study": study, "store": small_store, "runs": tmp_path / "runs", "device": "cpu"}
    with pytest.raises(UsageError, match=r"--method: two methods have the study '[\w-]+'; rename a file"):
        aubench.tune(f"late_fusion,{own}", "synth_3fold", 1, **words)


def test_the_table_counts_pretraining_that_trials_share_once(tmp_path):
    study = optuna.create_study(study_name="mine", direction="maximize")
    for number in range(3):
        trial = study.ask()
        cost = {"run": f"run{number}", "seconds": 10.0, "frames": 1000, "pretraining": {"same": [100.0, 50_000]}}
        trial.set_user_attr("cost", cost)
        study.tell(trial, 0.5)
    results = TuningResults((study,), tmp_path)
    assert [cell.strip() for cell in results.summary().splitlines()[-1].split("|")][5:7] == ["130", "53,000"]
    assert results.to_dataframe()["frames"].tolist() == [51_000] * 3


@pytest.mark.slow
def test_a_study_in_mlflow_has_a_child_for_each_trial(search_for, tmp_path, monkeypatch, mlflow_uri):
    from mlflow import MlflowClient

    from aubench.tracking.studies import Tracking

    monkeypatch.setattr(trial_module, "run_jobs", here)
    search = search_for(folds=(1,), fixed={"epochs": 1})
    messages = []
    run(search, address("sqlite", tmp_path), 2, after=Tracking(search.folder, messages.append, mlflow_uri).send)
    Tracking(search.folder, messages.append, mlflow_uri).send()
    client = MlflowClient(tracking_uri=mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("aubench/synth_3fold").experiment_id])
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    assert not messages and len(parents) == 1 and len(runs) == 3
    assert {r.data.tags["mlflow.parentRunId"] for r in runs if r not in parents} == {parents[0].info.run_id}
    assert parents[0].data.metrics["trials"] == 2 and {r.info.status for r in runs} == {"FINISHED"}
    assert all({"f1", "frames", "validation/f1"} <= set(r.data.metrics) for r in runs if r not in parents)


@pytest.mark.slow
def test_a_trial_that_was_sent_in_part_is_completed(search_for, tmp_path, monkeypatch, mlflow_uri):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from aubench.tracking import studies

    monkeypatch.setattr(trial_module, "run_jobs", here)
    search = search_for(folds=(1,), fixed={"epochs": 1})
    run(search, address("sqlite", tmp_path), 1)

    def fail(*words):
        raise MlflowException("the server ends here")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", fail)
        assert not studies.sync(search.folder, mlflow_uri).ok
    assert studies.sync(search.folder, mlflow_uri).ok
    client = MlflowClient(tracking_uri=mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("aubench/synth_3fold").experiment_id])
    assert [r.info.status for r in runs] == ["FINISHED"] * 2


@pytest.mark.slow
def test_what_the_user_deletes_of_a_study_in_mlflow_is_not_sent_again(search_for, tmp_path, monkeypatch, mlflow_uri):
    from mlflow import MlflowClient

    from aubench.tracking import studies

    monkeypatch.setattr(trial_module, "run_jobs", here)
    search = search_for(folds=(1,), fixed={"epochs": 1})
    run(search, address("sqlite", tmp_path), 1)
    assert studies.sync(search.folder, mlflow_uri).ok
    client = MlflowClient(tracking_uri=mlflow_uri)
    experiment = client.get_experiment_by_name("aubench/synth_3fold").experiment_id
    by_name = {each.info.run_name: each.info.run_id for each in client.search_runs([experiment])}
    client.delete_run(by_name[f"{search.name}-trial0"])
    assert studies.sync(search.folder, mlflow_uri).detail == "nothing new"
    client.delete_run(by_name[search.name])
    assert studies.sync(search.folder, mlflow_uri).detail == "was deleted in MLflow and is left alone"
    assert client.search_runs([experiment]) == []


@pytest.mark.slow
def test_a_study_that_mlflow_did_not_get_is_sent_later(search_for, tmp_path, monkeypatch, mlflow_uri, call):
    from mlflow import MlflowClient

    from aubench.tracking.studies import Tracking

    monkeypatch.setattr(trial_module, "run_jobs", here)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    search, messages = search_for(folds=(1,), fixed={"epochs": 1}), []
    run(
        search,
        address("sqlite", tmp_path),
        1,
        after=Tracking(search.folder, messages.append, "http://127.0.0.1:9").send,
    )
    assert len(messages) == 1 and "`aubench track sync` sends it later" in messages[0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    done = call("track", "sync", "--runs", search.base_config.runs)
    assert (done.code, done.err) == (0, "") and done.out.endswith(": sent 1 trial\n")
    client = MlflowClient(tracking_uri=mlflow_uri)
    assert len(client.search_runs([client.get_experiment_by_name("aubench/synth_3fold").experiment_id])) == 2
