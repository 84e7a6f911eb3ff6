"""Profile of a short training: speed, waiting for data, memory, and operations and time by part of the method.

The profile runs the training loop of runs on the first fold, with a few more steps before and after those that are
measured. It writes no checkpoint, and nothing is validated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from aubench.core.method import Stage
from aubench.data import clips, loader
from aubench.data.random_store import random_store
from aubench.data.splits import FoldSplit, ProtocolDataset, Rows
from aubench.evaluation import inference
from aubench.evaluation.flops import count_training_flops, counted_flops
from aubench.evaluation.method_parts import totals_by_part
from aubench.evaluation.predictor import Predictor
from aubench.runs import devices
from aubench.runs.config import RunConfig
from aubench.runs.device_peaks import peak_speed
from aubench.runs.fold import pass_train_labels, prepare_context
from aubench.runs.measured_trainer import Extent, measure_training, synchronize
from aubench.training.train_phase import TrainContext, TrainPhase

RANDOM_FRAMES = 128
"""Frames of random images per subject."""
REPEATS = 3
"""Measurements of the parts of a method, of which the median counts."""
INFERENCE_BATCHES, INFERENCE_SECONDS = 4, 2.0
"""Batches of a prediction, which is repeated for at least so many seconds."""
LATENCY_CALLS, LATENCY_SECONDS = (10, 200), 2.0
"""Least and most calls for the latency. Between the two, no call begins after so many seconds."""


@dataclass(frozen=True)
class ProfileSettings:
    """Settings of a profile.

    Attributes:
        extent: Number of steps.
        random: Use random images instead of the store.
    """

    extent: Extent = field(default_factory=Extent)
    random: bool = False


@dataclass(frozen=True)
class StageProfile:
    """Training of one stage.

    Attributes:
        name: Name of the stage.
        frames: Frames per step.
        frames_per_s: Training speed.
        shares: Shares of the time of a step, see :attr:`~aubench.runs.measured_trainer.MeasuredTrainer.shares`.
        memory: Peak memory in bytes, allocated on a GPU, else of the process.
        flops: Operations of the forward and backward pass per frame.
        mfu: Share of the device's peak speed that these operations reach; None if the peak is unknown.
        repeated: Share of the steps that a CUDA graph repeated; None if the device has none.
        graph_failure: Reason why recording a CUDA graph failed.
    """

    name: str
    frames: int
    frames_per_s: float
    shares: dict[str, float]
    memory: int
    flops: int
    mfu: float | None
    repeated: float | None
    graph_failure: str | None


@dataclass(frozen=True)
class PartProfile:
    """Prediction by one part of a method.

    Attributes:
        name: Name of the part.
        flops: Operations per frame.
        seconds: Time per frame.
    """

    name: str
    flops: float
    seconds: float


@dataclass(frozen=True)
class Profile:
    """Profile of a method.

    Attributes:
        device: Kind, name and number of threads.
        peak: Peak speed of the device in operations per second; None if unknown.
        peak_source: Origin of the peak.
        stages: Training by stage.
        parts: Prediction by part.
        latency: Seconds from one stored frame, or clip, to its probabilities, median and 95th percentile. The time of a
            clip is that of all its frames together.
        inference_frames_per_s: Speed of prediction in the batches of an evaluation.
        clip_length: Frames per clip; None for methods of single frames.
    """

    device: dict[str, Any]
    peak: float | None
    peak_source: str
    stages: tuple[StageProfile, ...]
    parts: tuple[PartProfile, ...]
    latency: tuple[float, float]
    inference_frames_per_s: float
    clip_length: int | None = None


def profile_job(
    settings: ProfileSettings, config: RunConfig, fold: int, kind: str, index: int, report: Callable[[Any], None]
) -> None:
    """Profile a fold in the process of a job and report the :class:`Profile`."""
    report(profile_fold(settings, config, fold, kind, index))


def profile_fold(settings: ProfileSettings, config: RunConfig, fold: int, kind: str, index: int) -> Profile:
    """Profile the training and the prediction of a fold.

    Args:
        settings: Extent of the profile, and kind of data.
        config: Run to profile. Its folder may get a file of a failed training step.
        fold: Number of the fold, from 1.
        kind: Kind of device.
        index: Index of the device among those of its kind.
    """
    context, split = open_fold(settings, config, fold, kind, index)
    name = devices.device_name(kind, index)
    peak, source = peak_speed(kind, name, config.precision)
    phases = [stage_phase(config, split, stage) for stage in context.method.stages()]
    stages = tuple(_profile_stage(settings.extent, context, phase, peak) for phase in phases)
    predictor = Predictor(context.method, context.fabric.autocast)
    return Profile(
        device={"kind": kind, "name": name, "threads": torch.get_num_threads()},
        peak=peak,
        peak_source=source,
        stages=stages,
        parts=_profile_parts(predictor, context, split.test),
        latency=latency(predictor, context, split.test),
        inference_frames_per_s=inference_speed(predictor, context, split.test),
        clip_length=context.method.recipe.clip_length,
    )


def open_fold(
    settings: ProfileSettings, config: RunConfig, fold: int, kind: str, index: int
) -> tuple[TrainContext, FoldSplit]:
    """Open the data of a fold, or random images, and build its method on a device."""
    if kind == "cpu":
        torch.set_num_threads(1)
    if settings.random:
        recipe = config.recipe_model
        store = random_store(config.protocol, recipe.image_size, max(RANDOM_FRAMES, 2 * (recipe.clip_length or 1)))
        data = ProtocolDataset(store, config.protocol)
        split = data.split(fold, validation=False)
    else:
        data, split = config.load_data(fold)
    fabric = devices.fabric_for(kind, index, config.precision)
    context = prepare_context(config, fold, data, fabric, lambda event: None)
    pass_train_labels(context, split)
    return context, split


def stage_phase(config: RunConfig, split: FoldSplit, stage: Stage) -> TrainPhase:
    """Return a phase of one stage without validation."""
    return TrainPhase((stage,), split.train, split.train[:0], config.fold_dir(split.fold), config.identity(split.fold))


def _profile_stage(extent: Extent, context: TrainContext, phase: TrainPhase, peak: float | None) -> StageProfile:
    (stage,) = phase.stages
    trainer = measure_training(extent, context, phase)
    speed = trainer.frames_per_s
    flops = count_training_flops(context.method, trainer.sample, stage)
    return StageProfile(
        name=stage.name,
        frames=trainer.frames,
        frames_per_s=speed,
        shares=trainer.shares,
        memory=trainer.memory,
        flops=flops,
        mfu=None if peak is None else flops * speed / peak,
        repeated=trainer.repeated,
        graph_failure=trainer.graph_failure,
    )


def _profile_parts(predictor: Predictor, context: TrainContext, rows: Rows) -> tuple[PartProfile, ...]:
    """Measure the prediction of one batch by part."""
    method, device = context.method, context.fabric.device
    batch = next(iter(inference.iter_batches(method, context.data, rows[: _frames_per_batch(context)], device)))

    def predict() -> None:
        predictor.probabilities(batch.images)

    def clock() -> float:
        synchronize(device)
        return time.perf_counter()

    predict()
    with counted_flops() as counter:
        flops = totals_by_part(method, predict, counter.get_total_flops)
    seconds = [totals_by_part(method, predict, clock) for _ in range(REPEATS)]
    frames = batch.rows.size
    return tuple(
        PartProfile(name, count / frames, float(np.median([times[name] for times in seconds])) / frames)
        for name, count in flops.items()
    )


def latency(predictor: Predictor, context: TrainContext, rows: Rows, batch: int = 1) -> tuple[float, float]:
    """Return the seconds from a batch of stored frames or clips to probabilities, median and 95th percentile.

    Frames or clips are repeated if the rows have fewer than the batch.
    """
    method, device = context.method, context.fabric.device
    length = method.recipe.clip_length
    requested = rows if length is None else clips.cover_with_clips(context.data, rows, length)
    repeated = requested[np.arange(batch) % len(requested)]
    images = loader.read(context.data, method.task.modalities, repeated).images
    seconds: list[float] = []
    least, most = LATENCY_CALLS
    while len(seconds) < least or (len(seconds) < most and sum(seconds) < LATENCY_SECONDS):
        begin = time.perf_counter()
        predictor.probabilities({m: loader.to_device(x, device) for m, x in images.items()})
        seconds.append(time.perf_counter() - begin)
    median, high = np.percentile(seconds[1:], [50, 95]).tolist()
    return median, high


def inference_speed(predictor: Predictor, context: TrainContext, rows: Rows) -> float:
    """Return the frames per second of prediction, reading included, in the batches of an evaluation."""
    device = context.fabric.device
    size, done = _frames_per_batch(context), 0
    inference.predict_probabilities(predictor, context.data, rows[:size], device)
    begin = time.perf_counter()
    while not done or time.perf_counter() - begin < INFERENCE_SECONDS:
        done += len(inference.predict_probabilities(predictor, context.data, rows[: INFERENCE_BATCHES * size], device))
    return done / (time.perf_counter() - begin)


def _frames_per_batch(context: TrainContext) -> int:
    """Return the number of frames in the batches of an evaluation, of which clips are complete."""
    length = context.method.recipe.clip_length or 1
    return max(inference.batch_size(context.fabric.device) // length, 1) * length
