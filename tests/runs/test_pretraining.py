"""Pre-training: before the labels, on training subjects alone, made once, resumed at any step."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from aubench.core.errors import CheckpointError, DataError
from aubench.core.registry import find_method
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.leaderboard import verify
from aubench.leaderboard.records import StoredRecord
from aubench.results.record_info import RecordInfo
from aubench.runs import environment, pretraining, run_file
from aubench.runs import fold as fold_module
from aubench.runs.config import RunConfig
from aubench.runs.events import EpochFinished, Event
from aubench.runs.record_builder import write_record
from aubench.testing import check_method
from aubench.training import trainer
from aubench.training.training_step import TrainingStep

METHOD = str(Path(__file__).parents[1] / "factories" / "clip_autoencoder.py")


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


@pytest.fixture
def config_for(decide) -> Callable[..., RunConfig]:
    small = {"image_size": 32, "crop": 28, "frames_per_epoch": 300, "epochs": 2, "batch_size": 8}
    return partial(decide, method=METHOD, seed=3, validation_stride=2, **small)


def run(config: RunConfig) -> list[Event]:
    events: list[Event] = []
    fold_module.run_fold(config, 1, "cpu", 0, events.append)
    return events


def recorded(config: RunConfig) -> RecordInfo:
    """What the record says after a run of the first fold."""
    cpu = {"kind": "cpu", "name": "some"}
    run_file.write(config, {"started": "2026-01-01T00:00:00Z", "device": cpu, "packages": {}, "git": environment.git()})
    run(config)
    return write_record(config).info


def result_files(config: RunConfig) -> dict[str, bytes]:
    names = ("predictions.parquet", "counts.csv", "histograms.csv", "checkpoint.safetensors")
    return {name: (config.fold_dir(1) / name).read_bytes() for name in names}


def folders(runs: Path) -> list[Path]:
    return sorted((runs / "pretrained").glob("*/*/*/fold1"))


@pytest.mark.slow
def test_the_method_keeps_its_contract():
    assert [check for check in check_method.check_method(find_method(METHOD)) if not check.passed] == []


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 4, 7, 8, 11])
def test_kill_in_either_stage_ends_byte_identical(config_for, tmp_path, monkeypatch, steps):
    uninterrupted = config_for(tmp_path / "whole")
    stages = [event.stage for event in run(uninterrupted) if isinstance(event, EpochFinished)]
    assert stages == ["pretrain", "pretrain", "train", "train"]

    interrupted, seen = config_for(tmp_path / "broken"), 0
    original = TrainingStep.take

    def dying(self, *args):
        nonlocal seen
        seen += 1
        if seen == steps:
            raise Killed
        return original(self, *args)

    monkeypatch.setattr(trainer, "SAVE_EVERY", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "take", dying)
        with pytest.raises(Killed):
            run(interrupted)
    run(interrupted)
    assert result_files(interrupted) == result_files(uninterrupted)


def guard(monkeypatch: pytest.MonkeyPatch, subjects: frozenset[str]) -> None:
    original = Store.read

    def guarded(self, modality, frames):
        assert not subjects & set(self.frames["subject"].iloc[np.asarray(frames)])
        return original(self, modality, frames)

    monkeypatch.setattr(Store, "read", guarded)


def stop(*_: object) -> None:
    raise Killed


@pytest.mark.slow
def test_held_out_frames_are_never_pretrained_on(decide, tmp_path, monkeypatch):
    phases = []

    def keep(config, context, phase, subjects):
        phases.append(phase)
        raise Killed

    monkeypatch.setattr(pretraining, "_pretrain", keep)
    for seed, share in ((1, 0.0), (1, 0.1), (2, 0.1)):
        config = decide(tmp_path, method="mcm", seed=seed, pretrain_validation=share)
        with pytest.raises(Killed):
            fold_module.run_fold(config, 1, "cpu", 0, lambda event: None)
    every, tenth, other_seed = (phase.train for phase in phases)
    assert set(tenth) < set(every) and len(tenth) == round(0.9 * len(every))
    assert np.array_equal(tenth, np.sort(tenth)) and np.array_equal(tenth, other_seed)
    assert len(np.unique(np.diff(np.setdiff1d(every, tenth)))) > 2, "at random, not in a row"


@pytest.mark.slow
def test_pretraining_never_reads_a_test_subjects_image(config_for, small_store, tmp_path, monkeypatch):
    config = config_for(tmp_path)
    guard(monkeypatch, config.protocol.test_subjects(1))
    monkeypatch.setattr(fold_module, "_score_fold", stop)
    with pytest.raises(Killed):
        run(config)
    (folder,) = folders(tmp_path)
    (entry,) = json.loads((folder / "pretraining.json").read_text())["ledger"]
    split = ProtocolDataset(Store(small_store), config.protocol).split(1, validation=True)
    subjects = Store(small_store).frames["subject"].to_numpy()
    assert set(entry["subjects"]) == set(subjects[split.train])
    with pytest.raises(AssertionError):
        run(config_for(tmp_path, everyone=True))


@pytest.mark.slow
def test_what_everyone_was_seen_for_is_told_in_the_record(config_for, tmp_path):
    config = config_for(tmp_path, everyone=True)
    (entry,) = recorded(config).pretraining
    assert (entry.stage, entry.fold, entry.datasets) == ("pretrain", 1, ("synth",))
    assert set(entry.subjects) == config.protocol.subjects


@pytest.mark.slow
def test_a_record_has_the_learning_curve_and_the_cost_of_pretraining(config_for, tmp_path):
    config = config_for(tmp_path)
    recorded(config)  # reads the files of the fold, as another process does
    from_files = (config.run_dir / "record" / "epochs.csv").read_bytes()
    events: list[Event] = []
    (config.fold_dir(1) / "result.json").unlink()
    fold_module.run_fold(config, 1, "cpu", 0, events.append)
    record = write_record(config, {1: events[-1].result})
    assert (config.run_dir / "record" / "epochs.csv").read_bytes() == from_files
    curve, (pretrained,) = record.epochs, record.info.pretraining
    assert curve[["stage", "pretraining"]].to_numpy().tolist() == [["pretrain", 1]] * 2 + [["train", 0]] * 2
    assert curve["f1"].isna().tolist() == [True, True, False, False]
    assert pretrained.frames == curve["frames"][1] > curve["frames"][0] and pretrained.seconds > 0
    assert list(verify.check_curves(StoredRecord(tmp_path, record))) == []
    (config.fold_dir(1) / "epochs.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"epochs.jsonl: has 1 epochs, result.json says 4"):
        write_record(config)
    (config.fold_dir(1) / "epochs.jsonl").unlink()
    assert write_record(config).epochs is None and not (config.run_dir / "record" / "epochs.csv").exists()


def test_unlabelled_frames_are_pretrained_on(config_for, small_store, tmp_path, monkeypatch):
    config, original, phases = config_for(tmp_path), ProtocolDataset.__init__, []

    def label_one_frame_of_each_subject(self, store, protocol):
        store.frames["labelled"] = ~store.frames["subject"].duplicated()
        original(self, store, protocol)

    def keep(config, context, phase, subjects):
        phases.append(phase)
        raise Killed

    monkeypatch.setattr(ProtocolDataset, "__init__", label_one_frame_of_each_subject)
    monkeypatch.setattr(pretraining, "_pretrain", keep)
    with pytest.raises(Killed):
        run(config)
    data = ProtocolDataset(Store(small_store), config.protocol)
    train = data.split(1, validation=True).train
    subjects = set(data.subjects[train])
    assert len(train) == len(subjects)
    assert np.array_equal(phases[0].train, np.flatnonzero(np.isin(data.subjects, list(subjects))))
    assert len(phases[0].train) > len(train)


@pytest.mark.slow
def test_runs_that_differ_in_what_comes_later_share_pretrained_weights(config_for, tmp_path):
    run(config_for(tmp_path))
    for changes, count in (
        ({"learning_rate": 0.05}, 1),
        ({"smoothing": 0.1}, 1),
        ({"pretrain_epochs": 1}, 2),
        ({"clip": 4}, 3),
    ):
        events = run(config_for(tmp_path, **changes))
        assert len(folders(tmp_path)) == count
        assert ("pretrain" in [e.stage for e in events if isinstance(e, EpochFinished)]) == (count > 1)
        history = (config_for(tmp_path, **changes).fold_dir(1) / "epochs.jsonl").read_text()
        assert '"pretrain"' in history


@pytest.mark.slow
def test_shared_and_own_pretraining_give_the_same_bytes(config_for, tmp_path):
    alone = config_for(tmp_path / "alone", learning_rate=0.05)
    run(alone)
    run(config_for(tmp_path / "shared"))
    (done,) = (tmp_path / "shared").rglob("pretraining.json")
    done.with_name("state.safetensors").write_bytes(b"of a process that was killed after its pre-training")
    sharing = config_for(tmp_path / "shared", learning_rate=0.05)
    run(sharing)
    assert result_files(alone) == result_files(sharing)
    assert not done.with_name("state.safetensors").exists()


@pytest.mark.slow
def test_layers_that_pretraining_froze_are_frozen_with_shared_weights(config_for, tmp_path):
    freezing = "        self.squeeze.requires_grad_(not stage.pretraining and self.squeeze.weight.requires_grad)\n"
    head, hook, rest = Path(METHOD).read_text().partition("    def optimizer(self, stage):\n")
    (tmp_path / "freezing.py").write_text(head + hook + freezing + rest)
    method = str(tmp_path / "freezing.py")
    alone = config_for(tmp_path / "alone", method=method, learning_rate=0.05)
    run(alone)
    run(config_for(tmp_path / "shared", method=method))
    sharing = config_for(tmp_path / "shared", method=method, learning_rate=0.05)
    run(sharing)
    assert result_files(alone) == result_files(sharing)


@pytest.mark.slow
def test_without_pretraining_epochs_there_is_none(config_for, tmp_path):
    config = config_for(tmp_path, pretrain_epochs=0)
    assert recorded(config).pretraining == ()
    assert folders(tmp_path) == []


@pytest.mark.slow
def test_weights_of_another_pretraining_are_refused(config_for, tmp_path):
    run(config_for(tmp_path))
    other = config_for(tmp_path, pretrain_epochs=1)
    run(other)
    first, second = folders(tmp_path)
    (first / "checkpoint.safetensors").write_bytes((second / "checkpoint.safetensors").read_bytes())
    (second / "checkpoint.safetensors").write_bytes(b"")
    for changes in ({}, {"pretrain_epochs": 1}):
        with pytest.raises(CheckpointError, match=r"belongs to run|is not a checkpoint"):
            run(config_for(tmp_path, learning_rate=0.3, **changes))


@pytest.mark.slow
def test_predictions_of_clips_are_those_of_their_frames(config_for, small_store, tmp_path):
    config = config_for(tmp_path, clip=7, pretrain_epochs=0)
    run(config)
    predictions = pd.read_parquet(config.fold_dir(1) / "predictions.parquet")
    store = Store(small_store)
    frames = store.frames[store.frames["subject"].isin(config.protocol.test_subjects(1)) & store.frames["labelled"]]
    assert predictions[["subject", "sequence", "frame"]].equals(
        frames[["subject", "sequence", "frame"]].reset_index(drop=True)
    )

    from safetensors.torch import load_file

    method = config.build_method()
    method.load_state_dict(load_file(config.fold_dir(1) / "checkpoint.safetensors"))
    images = {m: torch.from_numpy(store.read(m, frames.index)).float() for m in config.task.modalities}
    views = {m: (x[:, 2:30, 2:30].permute(0, 3, 1, 2) / 127.5 - 1) for m, x in images.items()}
    with torch.inference_mode():
        expected = method(views).numpy()
    assert np.allclose(predictions.filter(like="p_AU").to_numpy(), expected, atol=1e-5)
