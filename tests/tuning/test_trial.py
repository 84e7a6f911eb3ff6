"""Trials: reported scores, files, resumption, and isolation from the test role."""

import json
import threading
from dataclasses import fields

import numpy as np
import pytest

from aubench._util import atomic, locks
from aubench.core.errors import DataError, UsageError
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.runs import fold_status
from aubench.runs.config import RunConfig
from aubench.runs.devices import DeviceChoice
from aubench.runs.fold import run_fold
from aubench.runs.store_ref import StoreRef
from aubench.tuning import trial as trial_module
from aubench.tuning.trial import Pruned, TrialRunner, train_and_validate

CPU = DeviceChoice("cpu", 1, "a test")


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Folds in this process, so that a test sees what they do."""

    def launch(jobs, choice, report):
        for job in jobs:
            train_and_validate(job.config, job.fold, choice.kind, 0, lambda event, job=job: report(job, event))

    monkeypatch.setattr(trial_module, "run_jobs", launch)


def attempt(search, trial):
    return TrialRunner(search, search.trial_config(search.space.draw(trial)), trial, CPU)


@pytest.mark.slow
def test_value_is_the_mean_of_the_folds_and_every_epoch_is_told(search_for, script):
    search, trial = search_for(), script()
    runner = attempt(search, trial)
    value = runner.run()
    folds = [json.loads((runner.config.fold_dir(f) / "validation.json").read_text())["f1"] for f in (1, 2)]
    assert value == pytest.approx(np.mean(folds))
    assert [step for step, _ in trial.reports] == [1, 2, 3, 4]
    assert trial.reports[1][1] == pytest.approx(folds[0]) and trial.reports[3][1] == pytest.approx(value)
    cost = runner.cost()
    assert cost["frames"] == 2 * 2 * 64 and cost["seconds"] > 0 and cost["pretraining"] == {}
    assert not list(runner.config.run_dir.rglob("*.safetensors")), "the weights of a trial are not scored"


@pytest.mark.slow
def test_a_fold_of_a_trial_tells_other_machines_its_epochs(search_for, script):
    runner, states = attempt(search_for(folds=(1,)), script()), []
    folder = runner.config.fold_dir(1)
    train_and_validate(runner.config, 1, "cpu", 0, lambda event: states.append(fold_status.read_running(folder)))
    assert [content["epoch"]["epoch"] for content in states if "epoch" in content] == [1, 2]
    assert fold_status.read_running(folder) is None


@pytest.mark.slow
def test_pruning_ends_a_trial_between_epochs_and_between_folds(search_for, script):
    for stop, frames in ((1, 64), (2, 2 * 64), (3, 3 * 64)):
        search, trial = search_for(folds=(1, 2), seed=stop), script(stop_at=stop)
        runner = attempt(search, trial)
        with pytest.raises(Pruned):
            runner.run()
        assert len(trial.reports) == stop and runner.cost()["frames"] == frames
        runner.close()
        assert not list(runner.config.run_dir.rglob("*.safetensors"))


@pytest.mark.slow
def test_an_epoch_that_only_prepares_is_not_told(search_for, script):
    trial = script()
    value = attempt(search_for(method="mtut", folds=(1,), fixed={"warm_up": 0.5}), trial).run()
    assert trial.reports == [(2, value)]


@pytest.mark.slow
def test_a_stopped_trial_goes_on_and_tells_the_same(search_for, script, monkeypatch):
    uninterrupted, interrupted = script(), script()
    value = attempt(search_for(name="whole"), uninterrupted).run()
    search = search_for(name="broken")
    report = interrupted.report

    def stop_after_three(value, step):
        if step == 4:
            raise Killed
        report(value, step)

    monkeypatch.setattr(interrupted, "report", stop_after_three)
    with pytest.raises(Killed):
        attempt(search, interrupted).run()
    again = script()
    runner = attempt(search, again)
    trained = []
    fresh = trial_module.run_jobs
    monkeypatch.setattr(trial_module, "run_jobs", lambda jobs, *words: (trained.extend(jobs), fresh(jobs, *words)))
    assert runner.run() == value
    assert again.reports == uninterrupted.reports
    assert [job.fold for job in trained] == [2], "the first fold was finished"


@pytest.mark.slow
def test_equal_recipes_share_their_folder_and_unequal_do_not(search_for):
    search = search_for()
    first = search.trial_config({"learning_rate": 1e-3})
    assert search.trial_config({"learning_rate": 1e-3}).run_dir == first.run_dir
    assert search.trial_config({"learning_rate": 2e-3}).run_dir != first.run_dir
    assert search_for(name="other").trial_config({"learning_rate": 1e-3}).run_dir != first.run_dir
    assert first.run_dir.is_relative_to(search.folder)


@pytest.mark.slow
def test_no_trial_reads_an_image_of_a_test_subject(search_for, script, monkeypatch):
    search = search_for()
    original, read = Store.read, []

    def guarded(self, modality, frames):
        subjects = set(self.frames["subject"].iloc[np.asarray(frames)])
        assert not subjects & test
        read.extend(subjects)
        return original(self, modality, frames)

    monkeypatch.setattr(Store, "read", guarded)
    for fold in (1, 2):
        test = search.base_config.protocol.test_subjects(fold)
        attempt(search_for(folds=(fold,), name=f"fold{fold}"), script()).run()
    assert read


@pytest.mark.slow
def test_a_trial_ends_where_no_test_image_can_be_read_and_a_run_does_not(search_for, script, store_without_test_images):
    store = StoreRef.from_store(Store(store_without_test_images))
    search = search_for(folds=(1,), store=store)
    assert attempt(search, script()).run() > 0
    config = RunConfig(**{field.name: getattr(search.base_config, field.name) for field in fields(RunConfig)})
    with pytest.raises(DataError, match="cannot be read"):
        run_fold(config, 1, "cpu", 0, lambda event: None)


@pytest.mark.slow
def test_who_tries_to_reach_the_test_role_from_a_trial_cannot(search_for, script, monkeypatch):
    """A method's author may hold on to whatever training is given: the data it sees has no test role."""
    from aubench.runs import fold as fold_module

    search, seen = search_for(folds=(1,)), []
    original = fold_module._train

    def greedy(config, context, split, pretrained):
        seen.append((context.data, split))
        return original(config, context, split, pretrained)

    monkeypatch.setattr(fold_module, "_train", greedy)
    attempt(search, script()).run()
    data, split = seen[0]
    uninterrupted = ProtocolDataset(Store(search.base_config.store.path), search.base_config.protocol)
    test = uninterrupted.split(1, validation=True).test
    assert len(test) and not len(split.test)
    assert (uninterrupted.labels[test] >= 0).any() and (data.labels[test] == -1).all()
    assert not len(data.labelled_rows(search.base_config.protocol.test_subjects(1)))
    assert (data.store.frames.iloc[test][[f"AU{au}" for au in data.store.aus]] == -1).all(axis=None)
    for modality in search.base_config.task.modalities:
        data.store.read(modality, split.train[:2])
        with pytest.raises(DataError, match="test frames cannot be read during training"):
            data.store.read(modality, test[:1])


@pytest.mark.slow
def test_pretraining_on_everyone_is_refused(search_for):
    assert search_for("mcm", fixed={"image_size": 28}).epochs == 2
    with pytest.raises(UsageError, match="reads test subjects"):
        search_for("mcm", fixed={"image_size": 28, "pretrain_scope": "all"})


@pytest.mark.slow
def test_trials_share_their_pretrained_weights(search_for, script):
    small = {"image_size": 28, "pretrain_epochs": 1, "pretrain_frames_per_epoch": 64, "warmup_epochs": 0}
    search = search_for("mcm", fixed=small | {"epochs": 1}, folds=(1,), space=["learning_rate"])
    costs = []
    for rate in (1e-4, 1e-3):
        runner = attempt(search, script({"learning_rate": rate}))
        runner.run()
        costs.append(runner.cost())
    assert costs[0]["pretraining"] == costs[1]["pretraining"] != {}
    assert len(list((search.base_config.runs / "pretrained").rglob("pretraining.json"))) == 1


@pytest.mark.parametrize("content", [b"", b'{"f1": 0.', b"[]", b"\xff\xfe", None])
def test_a_broken_result_of_a_fold_is_named(search_for, script, content):
    runner = attempt(search_for(), script())
    path = runner.config.fold_dir(1) / "validation.json"
    path.parent.mkdir(parents=True)
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=r"validation.json.*delete"):
        runner.run()


@pytest.mark.slow
def test_a_result_that_another_machine_wrote_may_be_visible_later(search_for, script, monkeypatch):
    def launch(jobs, choice, report):
        (job,) = jobs
        path = job.config.fold_dir(job.fold) / "validation.json"
        threading.Timer(0.2, atomic.write_json, [path, {"f1": 0.25}]).start()

    monkeypatch.setattr(trial_module, "run_jobs", launch)
    runner = attempt(search_for(folds=(1,)), script())
    runner.config.fold_dir(1).mkdir(parents=True)
    assert runner.run() == 0.25


def test_a_pruned_trial_leaves_the_weights_that_another_worker_trains(search_for, script):
    runner = attempt(search_for(), script())
    paths = [runner.config.fold_dir(fold) / "state.safetensors" for fold in (1, 2)]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    with locks.exclusive(paths[0].parent / ".lock"):  # an equal recipe, in another process
        runner.close()
    assert [path.exists() for path in paths] == [True, False]
