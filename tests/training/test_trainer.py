"""Training of a fold in this process. Resumed at any epoch or step, it equals uninterrupted training."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from aubench._util import ranks
from aubench.core.errors import CheckpointError, MethodError, UsageError
from aubench.data import resident_images
from aubench.data.resident_images import ResidentImages
from aubench.data.store import Store
from aubench.evaluation import inference
from aubench.results.run_folder import CANDIDATE_WEIGHTS, EPOCHS, RESULT, STATE, read_json_lines
from aubench.runs import fold as fold_module
from aubench.runs.config import RunConfig
from aubench.runs.events import EpochFinished, FoldFinished
from aubench.training import checkpoint
from aubench.training import trainer as training_module
from aubench.training.checkpoint import CheckpointIdentity
from aubench.training.state import TrainState
from aubench.training.train_phase import TrainPhase
from aubench.training.training_step import TrainingStep

CHANGES = {"image_size": 32, "crop": 28, "frames_per_epoch": 96, "epochs": 3, "validation_stride": 2}


SMALL_CLIPS = {
    **{"image_size": 32, "crop": 32, "frames_per_epoch": 400, "pretrain_frames_per_epoch": 64, "width": 16, "depth": 1},
    **{"decoder_width": 16, "pretrain_warmup_epochs": 0},
}


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


@pytest.fixture
def config_for(decide) -> Callable[..., RunConfig]:
    return partial(decide, method="late_fusion", seed=3, **CHANGES)


@pytest.fixture
def config(config_for, tmp_path) -> RunConfig:
    return config_for(tmp_path)


def run(config: RunConfig, fold: int = 1) -> list[dict]:
    events: list[dict] = []
    fold_module.run_fold(config, fold, "cpu", 0, events.append)
    return events


def scoring(*values: float) -> Callable[..., dict[str, float]]:
    """Stands for validation: these F1s, epoch by epoch."""
    scores = iter(values)
    return lambda self: {"f1": next(scores), "acc": 0.5}


def result_files(config: RunConfig, fold: int = 1) -> dict[str, bytes]:
    folder = config.fold_dir(fold)
    names = ("predictions.parquet", "counts.csv", "histograms.csv", "checkpoint.safetensors")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["late_fusion", "amf"])
def test_training_killed_in_every_way_ends_byte_identical(config_for, tmp_path, monkeypatch, method):
    uninterrupted = config_for(tmp_path / "whole", method=method)
    run(uninterrupted)

    interrupted = config_for(tmp_path / "broken", method=method)
    monkeypatch.setattr(training_module, "SAVE_EVERY", 0.0)  # a checkpoint after every step
    seen = 0

    def kill_at(steps):
        original = TrainingStep.take

        def step(self, *args, **kwargs):
            nonlocal seen
            seen += 1
            if seen == steps:
                raise Killed
            return original(self, *args, **kwargs)

        return step

    for steps in (2, 3, 6):  # in the first epoch, in the second, in the third
        seen = 0
        with monkeypatch.context() as patch:
            patch.setattr(TrainingStep, "take", kill_at(steps))
            with pytest.raises(Killed):
                run(interrupted)
    folder = interrupted.fold_dir(1)
    for name in (STATE, CANDIDATE_WEIGHTS, "counts.csv", RESULT):  # of processes killed while they wrote them
        (folder / f".{name}.abc.tmp").write_bytes(b"half")
    run(interrupted)
    assert not list(folder.glob(".*.tmp"))
    assert result_files(interrupted) == result_files(uninterrupted)
    same = ("stage", "epoch", "loss", "validation")
    histories = [
        [{k: json.loads(line)[k] for k in same} for line in (p.fold_dir(1) / "epochs.jsonl").read_text().splitlines()]
        for p in (uninterrupted, interrupted)
    ]
    assert histories[0] == histories[1] and len(histories[0]) == 3


@pytest.mark.slow
def test_kill_between_state_and_best_weights_changes_nothing(config_for, tmp_path, monkeypatch):
    uninterrupted, interrupted = config_for(tmp_path / "whole"), config_for(tmp_path / "broken")
    monkeypatch.setattr(training_module.Trainer, "_validate", scoring(0.5, 0.4, 0.3))
    run(uninterrupted)

    def die(self):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training_module.Trainer, "_validate", scoring(0.5))
        patch.setattr(training_module.Trainer, "_promote_candidate", die)
        with pytest.raises(Killed):
            run(interrupted)
    monkeypatch.setattr(training_module.Trainer, "_validate", scoring(0.4, 0.3))
    run(interrupted)
    assert result_files(interrupted) == result_files(uninterrupted)
    assert not (interrupted.fold_dir(1) / CANDIDATE_WEIGHTS).exists()


@pytest.mark.slow
@pytest.mark.parametrize("killed_in", [0, 1])
def test_a_resumed_fold_keeps_what_an_optimizer_hook_changes(config_for, tmp_path, monkeypatch, killed_in):
    """The hook resets a layer in each stage, and freezes another in the first, which later stages keep."""
    whole, broken = config_for(tmp_path / "whole"), config_for(tmp_path / "broken")
    method_class = whole.entry.method_class
    stages, optimizer = method_class.stages, method_class.optimizer

    def two_stages(self):
        (stage,) = stages(self)
        return (replace(stage, name="first", epochs=2), replace(stage, name="second", epochs=2))

    def reset_and_freeze(self, stage):
        layers = [module for module in self.modules() if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)]
        layers[-1].reset_parameters()
        if stage.name == "first":
            layers[0].requires_grad_(False)
        return optimizer(self, stage)

    def better_each_epoch(self):
        return {"f1": 0.1 * (len(self.state.epochs) + 1), "acc": 0.5}

    def kill(self):
        if len(self.state.epochs) == 2 * killed_in + 1:
            raise Killed
        return better_each_epoch(self)

    monkeypatch.setattr(method_class, "stages", two_stages)
    monkeypatch.setattr(method_class, "optimizer", reset_and_freeze)
    with monkeypatch.context() as patch:
        patch.setattr(training_module.Trainer, "_validate", kill)
        with pytest.raises(Killed):
            run(broken)
    monkeypatch.setattr(training_module.Trainer, "_validate", better_each_epoch)
    for config in (whole, broken):
        run(config)
    assert result_files(broken) == result_files(whole)


def test_only_the_first_process_of_a_group_looks_for_a_candidate(tmp_path, monkeypatch):
    """It replaces the file, which others could then find and not read."""
    monkeypatch.setattr(ranks, "is_first", lambda: False)
    trainer = object.__new__(training_module.Trainer)
    trainer.method, trainer.folder = torch.nn.Linear(1, 1), tmp_path
    trainer.phase = TrainPhase((), np.array([]), np.array([]), tmp_path, CheckpointIdentity("r", "m", "p", 1, 0))
    with monkeypatch.context() as patch:
        patch.setattr(ranks, "is_first", lambda: True)
        tensors = {f"method.{name}": value for name, value in trainer.method.state_dict().items()}
        checkpoint.write(tmp_path / STATE, trainer.phase.identity, tensors, {"history": vars(TrainState())})
    (tmp_path / CANDIDATE_WEIGHTS).symlink_to("candidate that disappears")
    monkeypatch.setattr("pathlib.Path.exists", lambda path: True)
    assert trainer._restore() is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "writing", "epoch"),
    [(training_module.Trainer, "_save", 1), (TrainState, "write", 1), (TrainState, "write", 3)],
)
def test_kill_between_two_files_of_an_epoch_changes_nothing(config_for, tmp_path, monkeypatch, owner, writing, epoch):
    """Between the best weights and the state, and between the state and the history."""
    uninterrupted, interrupted = config_for(tmp_path / "whole"), config_for(tmp_path / "broken")
    run(uninterrupted)
    write = getattr(owner, writing)

    def die(self, argument):
        if len(getattr(self, "state", self).epochs) == epoch:
            raise Killed
        write(self, argument)

    with monkeypatch.context() as patch:
        patch.setattr(owner, writing, die)
        with pytest.raises(Killed):
            run(interrupted)
    run(interrupted)
    assert result_files(interrupted) == result_files(uninterrupted)
    assert [entry["epoch"] for entry in read_json_lines(interrupted.fold_dir(1) / EPOCHS)] == [0, 1, 2]


PROBE_THEN_TUNE = """
import torch
from torch import nn

from aubench import Fidelity, Method, MethodCard, Stage


class ProbeThenTune(Method):
    card = MethodCard(title="Linear probe, then fine-tuning", paper="none", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.encoder = nn.Sequential(nn.Conv2d(task.channels, 8, 3, 2), nn.ReLU())
        self.head = nn.Linear(8, len(task.aus))

    def stages(self):
        size, frames = self.recipe.batch_size, self.recipe.frames_per_epoch
        return tuple(Stage(name, 2, size, 2, frames) for name in ("probe", "tune"))

    def optimizer(self, stage):
        return torch.optim.Adam((self.head if stage.name == "probe" else self).parameters(), lr=1e-2)

    def forward_logits(self, inputs):
        return self.head(self.encoder(torch.cat([inputs[m] for m in self.task.modalities], 1)).mean((2, 3)))

    def forward(self, inputs):
        return self.forward_logits(inputs).sigmoid()
"""


def test_gradients_of_a_stage_do_not_reach_the_next(config_for, tmp_path, monkeypatch):
    """The encoder has gradients in the first stage, whose optimiser leaves it as it is."""
    file = tmp_path / "probe_then_tune.py"
    file.write_text(PROBE_THEN_TUNE)
    uninterrupted, interrupted = (config_for(tmp_path / name, method=str(file)) for name in ("whole", "broken"))
    take = TrainingStep.take

    def check_gradients(self, *args):
        assert all(parameter.grad is None for parameter in self.method.parameters())
        return take(self, *args)

    def die_in_the_second_stage(self, *args):
        if self.stage.name == "tune":
            raise Killed
        return take(self, *args)

    monkeypatch.setattr(TrainingStep, "take", check_gradients)
    run(uninterrupted)
    monkeypatch.setattr(TrainingStep, "take", die_in_the_second_stage)
    with pytest.raises(Killed):
        run(interrupted)
    monkeypatch.setattr(TrainingStep, "take", take)
    run(interrupted)
    assert result_files(interrupted) == result_files(uninterrupted)


@pytest.mark.slow
def test_weights_of_a_lost_epoch_are_not_kept_as_those_of_an_older_one(config_for, tmp_path, monkeypatch):
    """On a GPU an epoch that is made again may score a little less than before the kill."""

    uninterrupted, interrupted = config_for(tmp_path / "whole"), config_for(tmp_path / "broken")
    monkeypatch.setattr(training_module.Trainer, "_validate", scoring(0.5, 0.4, 0.3))
    run(uninterrupted)
    save = training_module.Trainer._save

    def die_in_the_second_epoch(self, optimizer):
        if len(self.state.epochs) == 2:
            raise Killed
        save(self, optimizer)

    with monkeypatch.context() as patch:
        patch.setattr(training_module.Trainer, "_validate", scoring(0.5, 0.9))
        patch.setattr(training_module.Trainer, "_save", die_in_the_second_epoch)
        with pytest.raises(Killed):
            run(interrupted)
    monkeypatch.setattr(training_module.Trainer, "_validate", scoring(0.4, 0.3))
    run(interrupted)
    assert result_files(interrupted) == result_files(uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["late_fusion", "au_vmae"])
def test_training_on_images_in_a_devices_memory_ends_byte_identical(decide, tmp_path, monkeypatch, method):
    changes = CHANGES if method == "late_fusion" else {**SMALL_CLIPS, "pretrain_epochs": 1, "warmup_epochs": 0}
    configs = [decide(tmp_path / name, method, seed=3, **{**changes, "epochs": 2}) for name in ("read", "resident")]
    run(configs[0])
    made, create = [], ResidentImages.__init__

    def count(self, *args, **options):
        create(self, *args, **options)
        made.append(self)

    def read_before_and_after(self, modality, frames):
        if len(made) == len(stages) and not testing:
            raise AssertionError("images are resident")
        return read(self, modality, frames)

    stages, testing, read, score = configs[1].build_method().stages(), [], Store.read, fold_module._score_fold
    monkeypatch.setattr(fold_module, "_score_fold", lambda *args: (testing.append(1), score(*args))[1])
    monkeypatch.setattr(Store, "read", read_before_and_after)
    monkeypatch.setattr(ResidentImages, "__init__", count)
    monkeypatch.setattr(resident_images, "memory_budget", lambda device: 2**40)
    run(configs[1])
    assert len(made) == len(stages) and result_files(configs[0]) == result_files(configs[1])


@pytest.mark.slow
def test_images_leave_a_devices_memory_when_a_step_needs_it(config_for, tmp_path, monkeypatch):
    uninterrupted, short_of_memory = config_for(tmp_path / "whole"), config_for(tmp_path / "short")
    run(uninterrupted)
    take, held = TrainingStep._step, []

    def fail_in_the_second_epoch(self, stored, is_extra, progress):
        held.append(self._holds_images)
        if self._holds_images and progress.epoch == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return take(self, stored, is_extra, progress)

    monkeypatch.setattr(TrainingStep, "_step", fail_in_the_second_epoch)
    monkeypatch.setattr(resident_images, "memory_budget", lambda device: 2**40)
    run(short_of_memory)
    steps = len(held) // 3
    assert held == [True] * (steps + 1) + [False] * 2 * steps
    assert result_files(short_of_memory) == result_files(uninterrupted)


@pytest.mark.slow
def test_images_leave_a_devices_memory_when_validation_needs_it(config_for, tmp_path, monkeypatch):
    uninterrupted, short_of_memory = config_for(tmp_path / "whole"), config_for(tmp_path / "short")
    run(uninterrupted)
    predict, failures = inference.predict_probabilities, []

    def fail_on_held_images(predictor, data, rows, device):
        if data.resident is not None:
            failures.append(device)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return predict(predictor, data, rows, device)

    monkeypatch.setattr(inference, "predict_probabilities", fail_on_held_images)
    monkeypatch.setattr(resident_images, "memory_budget", lambda device: 2**40)
    run(short_of_memory)
    assert len(failures) == 1 and result_files(short_of_memory) == result_files(uninterrupted)


@pytest.mark.slow
def test_the_copy_of_images_to_a_device_counts_in_no_epoch_or_speed(config, monkeypatch):
    """The clock stands for a copy that takes a thousand seconds."""
    clock, spent, prepare = time.perf_counter, [], resident_images.prepare

    def copy(*args):
        spent.append(1000.0)
        return prepare(*args)

    monkeypatch.setattr(time, "perf_counter", lambda: clock() + sum(spent))
    monkeypatch.setattr(resident_images, "prepare", copy)
    monkeypatch.setattr(resident_images, "memory_budget", lambda device: 2**40)
    run(config)
    result = json.loads((config.fold_dir(1) / RESULT).read_text())
    assert spent == [1000.0] and result["train_seconds"] < result["seconds"] < 1000
    assert all(entry["seconds"] < 1000 for entry in read_json_lines(config.fold_dir(1) / EPOCHS, ""))
    frames = CHANGES["frames_per_epoch"] * CHANGES["epochs"]
    assert result["train_frames_per_s"] == pytest.approx(frames / result["train_seconds"], rel=0.01)


@pytest.mark.slow
def test_finished_fold_costs_nothing(config):
    assert [type(e) for e in run(config)] == [EpochFinished, EpochFinished, EpochFinished, FoldFinished]
    (config.fold_dir(1) / STATE).write_bytes(b"of a process that was killed after it wrote the result")
    assert run(config) == [FoldFinished(None, 0)]
    assert not (config.fold_dir(1) / STATE).exists()


@pytest.mark.slow
def test_checkpoint_of_another_fold_is_refused(config, monkeypatch):
    def stop(self, *_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training_module.Trainer, "_validate", lambda self: {"f1": 0.5, "acc": 0.5})
        patch.setattr(fold_module, "_score_fold", stop)
        with pytest.raises(Killed):
            run(config, 1)
    other = config.fold_dir(2)
    other.mkdir(parents=True)
    (config.fold_dir(1) / STATE).rename(other / STATE)
    with pytest.raises(CheckpointError, match="belongs to fold '1', not to '2'"):
        run(config, 2)
    assert not (other / "result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["history", "weights", "optimizer"])
def test_a_state_of_another_version_is_one_line(config, monkeypatch, part):
    def stop(self, path):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "write", stop)
        with pytest.raises(Killed):
            run(config)
    path, identity = config.fold_dir(1) / STATE, config.identity(1)
    saved = checkpoint.read(path, identity)
    if part == "history":
        saved.notes["history"]["former"] = 1
    elif part == "weights":
        saved.tensors["method.former.weight"] = saved.tensors.pop("method.classifier.weight")
    else:
        saved.notes["optimizer"]["groups"] *= 2
    checkpoint.write(path, identity, saved.tensors, saved.notes)
    with pytest.raises(
        CheckpointError, match=r"state.safetensors: was written by another version .*; delete its folder"
    ):
        run(config)


@pytest.mark.slow
def test_training_stops_when_patience_ends_and_keeps_the_best(config_for, tmp_path, monkeypatch):
    monkeypatch.setattr(training_module.Trainer, "_validate", scoring(0.2, 0.5, 0.4, 0.4, 0.9))
    config = config_for(tmp_path, epochs=9, patience=2)
    run(config)
    result = json.loads((config.fold_dir(1) / "result.json").read_text())
    assert (result["epochs"], result["best_epoch"]) == (4, 2)


@pytest.mark.slow
def test_mtut_is_never_scored_by_networks_that_were_not_aligned(config_for, tmp_path, monkeypatch):
    monkeypatch.setattr(training_module.Trainer, "_validate", scoring(0.9, 0.8, 0.2, 0.3))
    config = config_for(tmp_path, method="mtut", epochs=4, warm_up=0.5, patience=1)
    run(config)
    result = json.loads((config.fold_dir(1) / "result.json").read_text())
    assert (result["epochs"], result["best_epoch"]) == (4, 4)


@pytest.mark.slow
def test_last_trains_on_all_training_subjects_and_validates_on_nobody(config_for, tmp_path):
    config = config_for(tmp_path, selection="last", epochs=2)
    events = run(config)
    result = json.loads((config.fold_dir(1) / "result.json").read_text())
    assert result["subjects"]["val"] == [] and result["best_epoch"] == 2
    assert set(result["subjects"]["train"]) == config.protocol.train_subjects(1)
    assert all(e.validation is None for e in events if isinstance(e, EpochFinished))


@pytest.mark.slow
def test_training_never_reads_an_image_of_a_test_subject(config_for, tmp_path, monkeypatch):
    config = config_for(tmp_path)
    test = config.protocol.test_subjects(1)
    original = Store.read

    def guarded(self, modality, frames):
        assert not test & set(self.frames["subject"].iloc[np.asarray(frames)])
        return original(self, modality, frames)

    def stop(*_):
        raise Killed

    monkeypatch.setattr(Store, "read", guarded)
    monkeypatch.setattr(fold_module, "_score_fold", stop)
    with pytest.raises(Killed):
        run(config)
    leaking = config_for(tmp_path, selection="oracle_test")
    with pytest.raises(AssertionError):
        run(leaking)


@pytest.mark.slow
def test_loss_that_is_not_finite_names_its_term(config_for, tmp_path, monkeypatch):
    config = config_for(tmp_path)
    monkeypatch.setattr(
        config.entry.method_class,
        "loss",
        lambda self, batch, *_: {"total": sum(p.sum() for p in self.parameters()) * float("nan")},
    )
    with pytest.raises(MethodError, match="'total' is not finite in epoch 1 of fold 1"):
        run(config)


def test_run_id_follows_all_that_decides_the_numbers(config_for, tmp_path):
    first = config_for(tmp_path)
    assert config_for(tmp_path / "elsewhere").run_id == first.run_id
    others = [
        config_for(tmp_path, method="amf"),
        config_for(tmp_path, selection="last"),
        config_for(tmp_path, learning_rate=0.0123),
    ]
    assert len({first.run_id, *(p.run_id for p in others)}) == 4


def test_method_that_cannot_do_the_task_refuses_with_its_reason(decide, tmp_path):
    with pytest.raises(UsageError, match="cam: does not support synth_3fold"):
        decide(tmp_path, "cam", modalities=["visual"])


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_others(config_for, tmp_path):
    def first_weights(seed):
        config = config_for(tmp_path)
        torch.manual_seed(fold_module.derive(seed, config.protocol.digest, 1, config.entry.name, "initialisation"))
        return next(config.build_method().parameters())

    assert torch.equal(first_weights(0), first_weights(0))
    assert not torch.equal(first_weights(0), first_weights(1))


@pytest.mark.slow
def test_a_method_of_clips_learns_which_clips_are_extra(decide, tmp_path, monkeypatch):
    config = decide(tmp_path, method="au_vmae", seed=3, pretrain_epochs=1, epochs=1, warmup_epochs=0, **SMALL_CLIPS)
    batches = []
    original = config.entry.method_class.augment

    def augment(self, batch, generator):
        batches.append(batch)
        return original(self, batch, generator)

    monkeypatch.setattr(config.entry.method_class, "augment", augment)
    run(config)
    pretraining, training = ([b for b in batches if (b.labels == -1).all() == hidden] for hidden in (True, False))
    assert pretraining and not any(batch.is_extra.any() for batch in pretraining)
    rare = [config.protocol.aus.index(au) for au in (1, 2, 4, 15, 23, 24)]
    has_rare = torch.cat([(batch.labels[:, :, rare] == 1).flatten(1).any(1) for batch in training]).float()
    is_extra = torch.cat([batch.is_extra for batch in training])
    assert has_rare[is_extra].mean() > has_rare[~is_extra].mean()


@pytest.mark.slow
def test_an_epoch_of_less_than_a_batch_counts_its_frames(config_for, tmp_path):
    config = config_for(tmp_path, frames_per_epoch=30, batch_size=64, epochs=1)
    run(config)
    (line,) = (config.fold_dir(1) / "epochs.jsonl").read_text().splitlines()
    assert json.loads(line)["frames"] == 30
