"""Profiles of tiny methods on random images, the bare loop, and the report of speed."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aubench.core.registry import find_protocol
from aubench.core.task import Batch, Modality
from aubench.data import resident_images
from aubench.data.random_store import RandomStore
from aubench.evaluation import inference
from aubench.evaluation.flops import count_flops, count_training_flops, counted_flops
from aubench.evaluation.method_parts import REST
from aubench.evaluation.predictor import Predictor
from aubench.runs import profiling, speed_report
from aubench.runs.bare_loop import BareLoop
from aubench.runs.config import RunConfig
from aubench.runs.measured_trainer import TRACED_STEPS, Extent, MeasuredTrainer
from aubench.runs.profiling import ProfileSettings
from aubench.runs.run_options import RunOptions
from aubench.runs.store_ref import StoreRef
from aubench.training.training_step import TrainingStep

SMALL = {"image_size": 32, "crop": 28, "batch_size": 4}
FRAMES = 8


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Shorten measurements that last a number of seconds."""
    monkeypatch.setattr(profiling, "RANDOM_FRAMES", FRAMES)
    monkeypatch.setattr(profiling, "INFERENCE_SECONDS", 0.0)
    monkeypatch.setattr(profiling, "LATENCY_CALLS", (2, 2))


@pytest.fixture
def configure(tmp_path):
    def create(name: str, **changes: object) -> RunConfig:
        protocol = find_protocol("synth_3fold")
        store = StoreRef.from_store(RandomStore(protocol, 1, 1))
        options = RunOptions("tiny", {**SMALL, **changes}, "last", runs=tmp_path)
        return RunConfig.create(name, protocol, store, options)

    return create


def open_fold(config):
    settings = ProfileSettings(random=True)
    context, split = profiling.open_fold(settings, config, 1, "cpu", 0)
    return context, split, profiling.stage_phase(config, split, context.method.stages()[-1])


@pytest.mark.slow
def test_profile_of_amf(configure, tmp_path):
    config = configure("amf", samples=4)
    profile = profiling.profile_fold(ProfileSettings(Extent(1, 2), random=True), config, 1, "cpu", 0)
    (stage,) = profile.stages
    total = count_flops(config.entry.method_class, config.task, config.recipe_model).total.flops
    assert sum(part.flops for part in profile.parts) == total
    assert [part.name for part in profile.parts][:2] == ["encoders.visual", "encoders.depth"]
    assert profile.parts[-1].name == REST and all(part.seconds > 0 for part in profile.parts)
    assert 2.5 * total < stage.flops < 3.1 * total, "the backward pass costs twice the forward pass"
    assert stage.frames == 4 and stage.frames_per_s > 0 and stage.memory > 2**26
    assert sum(stage.shares.values()) == pytest.approx(1) and min(stage.shares.values()) > 0
    assert profile.peak is not None and stage.mfu == pytest.approx(stage.flops * stage.frames_per_s / profile.peak)
    assert 0 < profile.latency[0] <= profile.latency[1] and profile.inference_frames_per_s > 0
    assert not list(tmp_path.rglob("*.safetensors")), "no checkpoint is written"


@pytest.mark.slow
def test_the_trace_has_some_steps(configure, tmp_path):
    context, _, phase = open_fold(configure("resnet_visual"))
    MeasuredTrainer(Extent(1, 1, tmp_path), context, phase).run()
    names = [event["name"] for event in json.loads((tmp_path / "trace-train.json").read_text())["traceEvents"]]
    assert names.count("Optimizer.step#Adam.step") == TRACED_STEPS


def test_a_trace_that_fails_leaves_the_earlier_one(configure, tmp_path, monkeypatch):
    def break_off(profiler, path):
        Path(path).write_text("{")
        raise KeyboardInterrupt

    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "trace-train.json").write_text("{}")
    monkeypatch.setattr(torch.profiler.profile, "export_chrome_trace", break_off)
    context, _, phase = open_fold(configure("resnet_visual"))
    with pytest.raises(KeyboardInterrupt):
        MeasuredTrainer(Extent(1, 1, tmp_path / "traces"), context, phase).run()
    assert {path.name: path.read_text() for path in (tmp_path / "traces").iterdir()} == {"trace-train.json": "{}"}


@pytest.mark.slow
def test_every_stage_has_a_profile_and_clips_count_their_frames(configure):
    config = configure("au_vmae", crop=32)
    profile = profiling.profile_fold(ProfileSettings(Extent(1, 1), random=True), config, 1, "cpu", 0)
    assert [stage.name for stage in profile.stages] == ["pretrain", "finetune"]
    length = config.recipe_model.clip_length
    assert profile.stages[-1].frames == 4 * length
    assert all(stage.flops > 0 for stage in profile.stages)


def test_a_method_that_needs_landmarks_gets_some(configure):
    context, _, phase = open_fold(configure("temt_net"))
    trainer = MeasuredTrainer(Extent(1, 1), context, phase)
    trainer.run()
    assert trainer.sample.landmarks is not None and trainer.sample.landmarks.shape == (2, 49, 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_profile_on_a_gpu(configure, tmp_path):
    config = configure("amf", samples=4)
    profile = profiling.profile_fold(ProfileSettings(Extent(2, 2, tmp_path), random=True), config, 1, "cuda", 0)
    (stage,) = profile.stages
    assert stage.frames_per_s > 0 and 2**20 < stage.memory < torch.cuda.get_device_properties(0).total_memory
    assert sum(stage.shares.values()) == pytest.approx(1) and all(part.seconds > 0 for part in profile.parts)
    trace = json.loads((tmp_path / "trace-train.json").read_text())["traceEvents"]
    assert any(event.get("cat") == "kernel" for event in trace)


@pytest.mark.slow
def test_waiting_for_data_is_seen(configure, monkeypatch):
    context, _, phase = open_fold(configure("resnet_visual"))
    quick = MeasuredTrainer(Extent(1, 4), context, phase)
    quick.run()
    read = RandomStore.read

    def slow(self, *args):
        time.sleep(0.1)
        return read(self, *args)

    monkeypatch.setattr(RandomStore, "read", slow)
    waiting = MeasuredTrainer(Extent(4, 4), context, phase)  # the reader is ahead at first
    waiting.run()
    assert quick.shares["waiting"] < 0.4 < waiting.shares["waiting"]


def test_frames_are_repeated_where_there_are_too_few(configure):
    context, split, phase = open_fold(configure("resnet_visual"))
    trainer = MeasuredTrainer(Extent(1, 3), context, replace(phase, train=split.train[:5]))
    order, extra = trainer._order(context.method.stages()[0])
    assert len(order) == 4 * 4 and set(order) == set(split.train[:5]) and extra is None
    trainer.run()
    assert trainer.frames_per_s > 0


def test_parts_of_a_step_come_from_further_steps_on_a_gpu(configure):
    context, _, phase = open_fold(configure("resnet_visual"))
    trainer = MeasuredTrainer(Extent(1, 2), context, phase)
    trainer._detail, trainer._traced = range(3, 5), range(5, 5)
    steps, loss = [], context.method.loss
    context.method.loss = lambda *args: steps.append(time.perf_counter()) or loss(*args)
    trainer.run()
    assert len(steps) == 5 and sum(trainer.shares.values()) == pytest.approx(1)
    assert trainer._end < steps[3], "the speed is that of the steps before"


def test_the_method_is_as_before(configure):
    context, _, phase = open_fold(configure("late_fusion"))
    trainer = MeasuredTrainer(Extent(1, 1), context, phase)
    trainer.run()
    assert "augment" not in vars(context.method)
    assert all(parameter.grad is None for parameter in context.method.parameters())
    assert len(trainer.sample.labels) == 2


@pytest.mark.slow
def test_the_bare_loop_learns(configure):
    context, split, phase = open_fold(configure("resnet_visual", learning_rate=1e-3, flip=False, crop=32))
    loop = BareLoop(context, phase.stages[0], split.train[:4])
    first = loop.train(1)
    loop.train(20)
    assert loop.train(1) < first / 2


def test_the_bare_loop_crops_and_mirrors(configure):
    context, split, phase = open_fold(configure("resnet_visual", crop=31))
    loop = BareLoop(context, phase.stages[0], split.train[:1])
    stored = torch.from_numpy(context.data.store.read(Modality.VISUAL, split.train[:1]))[0].permute(2, 0, 1) / 127.5 - 1
    crops = [stored[:, top : top + 31, left : left + 31] for top in (0, 1) for left in (0, 1)]
    expected = [*crops, *(crop.flip(-1) for crop in crops)]
    views = next(iter(loop.views(torch.zeros(64, dtype=torch.long)).values()))
    matches = [[torch.allclose(view, crop, atol=1e-6) for crop in expected] for view in views]
    assert all(any(row) for row in matches) and np.any(matches, axis=0).all()


def test_the_networks_alone_train_without_the_heads(configure):
    context, split, phase = open_fold(configure("amf", samples=4))
    before = {name: value.clone() for name, value in context.method.named_parameters()}
    BareLoop(context, phase.stages[0], split.train, networks_only=True).train(1)
    changed = {name.split(".")[0] for name, value in context.method.named_parameters() if not value.equal(before[name])}
    assert changed == {"encoders"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "crop", "loops"), [("late_fusion", 28, {"harness", "bare", "networks"}), ("au_vmae", 32, {"harness"})]
)
def test_report_of_speed(configure, monkeypatch, name, crop, loops):
    monkeypatch.setattr(speed_report, "ROUNDS", 1)
    monkeypatch.setitem(speed_report.BATCHES, "cpu", (1, 3))
    figures = json.loads(json.dumps(speed_report.measure(configure(name, crop=crop), 1, "cpu", 0, Extent(1, 1))))
    assert set(figures["training"]) == loops and all(speed > 0 for speed in figures["training"].values())
    assert [entry["factor"] for entry in figures["scaling"]] == [1, 2, 4, 8]
    assert figures["scaling"][3]["frames"] == 8 * figures["scaling"][0]["frames"]
    assert [entry["batch"] for entry in figures["inference"]] == [1, 3]
    assert figures["profile"]["stages"][-1]["frames_per_s"] > 0


def test_cases_of_the_report_exist():
    from aubench.core.registry import find_method
    from aubench.runs.devices import PRECISIONS

    for cases in speed_report.CASES.values():
        for case in cases:
            assert case.preset in find_method(case.method).method_class.Recipe.all_presets()
            assert case.precision in PRECISIONS


@pytest.mark.slow
def test_more_clips_than_a_batch_holds_are_profiled(configure, monkeypatch):
    monkeypatch.setattr(profiling, "RANDOM_FRAMES", 96)
    small = {"image_size": 32, "crop": 32, "width": 16, "heads": 2, "decoder_width": 16, "decoder_heads": 2}
    context, split, _ = open_fold(configure("au_vmae", clip_frames=12, segment=12, **small))
    device = torch.device("cpu")
    rows = split.test[: inference.batch_size(device)]
    assert len(list(inference.iter_batches(context.method, context.data, rows, device))) > 1
    assert profiling._profile_parts(Predictor(context.method), context, split.test)


def clips_of(configure, **changes):
    small = {"image_size": 32, "crop": 32, "width": 16, "heads": 2, "decoder_width": 16, "decoder_heads": 2}
    context, split, _ = open_fold(configure("au_vmae", clip_frames=12, segment=12, **small, **changes))
    return context, split, Predictor(context.method)


@pytest.mark.parametrize("batch", [1, 200])
def test_the_latency_of_clips_is_that_of_whole_clips(configure, monkeypatch, batch):
    context, split, predictor = clips_of(configure)
    shapes = []

    def predict(images):
        shapes.append(tuple(images[Modality.VISUAL].shape[:2]))
        time.sleep(0.05)

    monkeypatch.setattr(predictor, "probabilities", predict)
    latency = profiling.latency(predictor, context, split.test, batch)
    assert set(shapes) == {(batch, 12)}, "also of more clips than the rows have"
    assert all(0.05 <= seconds < 0.05 * 12 for seconds in latency), "the time is not divided by the frames"


def test_the_latency_of_frames_has_the_requested_batch(configure, monkeypatch):
    context, split, _ = open_fold(configure("resnet_visual"))
    predictor, shapes = Predictor(context.method), []
    monkeypatch.setattr(predictor, "probabilities", lambda images: shapes.append(len(images[Modality.VISUAL])))
    profiling.latency(predictor, context, split.test, 1000)
    assert set(shapes) == {1000} and len(split.test) < 1000


def test_the_speed_of_clips_is_measured_on_complete_clips(configure, monkeypatch):
    monkeypatch.setattr(profiling, "RANDOM_FRAMES", 60)
    monkeypatch.setattr(inference, "BATCH", 16)
    context, split, predictor = clips_of(configure)
    predicted = []

    def predict(predictor, data, rows, device):
        batches = inference.iter_batches(predictor.method, data, rows, device)
        predicted.extend(batch.valid for batch in batches)
        return rows

    monkeypatch.setattr(inference, "predict_probabilities", predict)
    profiling.inference_speed(predictor, context, split.test)
    assert {valid.shape for valid in predicted} == {(1, 12)} and all(valid.all() for valid in predicted)


def test_a_stage_is_measured_again_without_images_that_leave_no_memory(configure, monkeypatch):
    context, _, phase = open_fold(configure("resnet_visual"))
    take, held, freed = TrainingStep._step, [], []

    def fail_with_images(self, *args):
        held.append(self._holds_images)
        if self._holds_images and len(held) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return take(self, *args)

    monkeypatch.setattr(TrainingStep, "_step", fail_with_images)
    monkeypatch.setattr(TrainingStep, "close", lambda self: freed.append(self._holds_images))
    monkeypatch.setattr(resident_images, "memory_budget", lambda device: 2**40)
    stage = profiling._profile_stage(Extent(1, 2), context, phase, None)
    assert held == [True] * 2 + [False] * 3 and freed == [True, False]
    assert stage.frames_per_s > 0 and stage.frames == 4


def test_a_frame_has_its_share_of_the_operations_of_a_clip(configure):
    context, split, predictor = clips_of(configure)
    method, clip = context.method, {Modality.VISUAL: torch.zeros(1, 12, 3, 32, 32)}
    with counted_flops() as counter, torch.no_grad():
        method.eval()(clip)
    each = counter.get_total_flops() / 12
    assert each > 0 and count_flops(type(method), method.task, method.recipe).total.flops == pytest.approx(each, abs=2)
    assert sum(part.flops for part in profiling._profile_parts(predictor, context, split.test)) == pytest.approx(each)
    labels = torch.ones(2, 12, len(method.task.aus), dtype=torch.int8)
    batch = Batch({m: x.repeat(2, 1, 1, 1, 1) for m, x in clip.items()}, labels)
    training = count_training_flops(method.train(), batch, method.stages()[-1])
    assert 2 * each < training < 3.5 * each, "forward and backward pass of one frame"
