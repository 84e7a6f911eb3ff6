"""The training loop for a few steps of a stage, with its speed and the time of the parts of a step."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aubench._util import atomic
from aubench.core.method import Progress, Stage
from aubench.core.task import Batch
from aubench.data import loader
from aubench.data.splits import Rows
from aubench.runs.fold import retry_without_images
from aubench.training.state import TrainState
from aubench.training.train_phase import TrainContext, TrainPhase
from aubench.training.trainer import Trainer
from aubench.training.training_step import TrainingStep

SAMPLE = 2
"""Frames or clips of the sample of a batch."""
TRACED_STEPS = 3


def trace_path(folder: Path, stage: str) -> Path:
    """Return the file of a stage's trace."""
    return folder / f"trace-{re.sub(r'[^A-Za-z0-9_.+ -]', '_', stage)}.json"


@dataclass(frozen=True)
class Extent:
    """Number of training steps of a measurement.

    Attributes:
        warmup: Steps before those that are measured.
        steps: Measured steps.
        traces: Existing folder for a trace of some further steps of each stage; None for no trace.
    """

    warmup: int = 5
    steps: int = 20
    traces: Path | None = None


class _Measured(Exception):
    """The end of the measured epoch."""


class MeasuredTrainer(Trainer):
    """Training loop that runs one epoch of a stage, measures its steps, and ends without a checkpoint.

    The steps are: warm-up, steps for the speed, on a GPU as many again for the parts of a step, and those of the trace.
    For the parts, the processor waits for the GPU. On a CPU the same steps give speed and parts.

    Args:
        extent: Number of steps.
        context: Method, data and device.
        phase: Stage, and training frames, which are repeated if there are too few.

    Attributes:
        frames: Frames per step.
        memory: Peak memory in bytes, allocated on a GPU, else of the process since its start.
        repeated: Share of the steps for the speed that a CUDA graph repeated; None if the device has none.
        graph_failure: Reason why recording a CUDA graph failed.
        sample: First frames or clips of the first batch.
    """

    sample: Batch

    def __init__(self, extent: Extent, context: TrainContext, phase: TrainPhase) -> None:
        (stage,) = phase.stages
        stage = replace(stage, epochs=1, frames_per_epoch=None)
        super().__init__(context, replace(phase, stages=(stage,)), TrainState())
        self.extent, self.frames, self.memory = extent, 0, 0
        self.repeated: float | None = None
        self.graph_failure: str | None = None
        on_gpu = context.fabric.device.type != "cpu"
        self._speed = range(extent.warmup, extent.warmup + extent.steps)
        self._detail = range(self._speed.stop, self._speed.stop + extent.steps) if on_gpu else self._speed
        traced = TRACED_STEPS if extent.traces else 0
        self._traced = range(self._detail.stop, self._detail.stop + traced)
        self._at, self._begin, self._end, self._marked, self._repeated_before = 0, 0.0, 0.0, 0.0, 0
        self._seconds = dict.fromkeys(("waiting", "preparing", "training", "optimizing"), 0.0)
        self._profiler: Any = None

    @property
    def frames_per_s(self) -> float:
        """Training speed."""
        return self.extent.steps * self.frames / (self._end - self._begin)

    @property
    def shares(self) -> dict[str, float]:
        """Shares of the time of a step: ``waiting`` for data, ``preparing`` crops, ``training``, ``optimizing``."""
        total = sum(self._seconds.values())
        return {name: seconds / total for name, seconds in self._seconds.items()}

    def run(self) -> None:
        """Run the steps."""
        method, augment = self.method, self.method.augment

        def augment_and_mark(batch: Batch, generator: torch.Generator) -> Batch:
            batch = augment(batch, generator)
            if self._at == 0:
                self.sample = _first(batch)
            self._mark("preparing")
            return batch

        if self.fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.fabric.device)
        method.augment = augment_and_mark  # type: ignore[method-assign]
        try:
            with suppress(_Measured):
                super().run()
        finally:
            method.zero_grad(set_to_none=True)
            if self._step:
                self._step.close()
            del method.augment
            vars(self).pop("_images", None)  # frees the memory of the GPU

    def _order(self, stage: Stage) -> tuple[Rows, torch.Tensor | None]:
        rows, extra = super()._order(stage)
        index = np.arange(self._traced.stop * stage.batch_size) % len(rows)
        return rows[index], None if extra is None else extra[torch.from_numpy(index)]

    def _take_step(
        self, stored: loader.RawBatch, is_extra: torch.Tensor | None, progress: Progress
    ) -> dict[str, torch.Tensor]:
        assert self._step
        self._at, self.frames = progress.step, stored.rows.size
        if self._at == 0:
            self._step.optimizer.optimizer.register_step_pre_hook(lambda *args: self._mark("training"))
        self._mark("waiting")
        terms = super()._take_step(stored, is_extra, progress)
        self._mark("optimizing")
        self._end_step(self._step, self._at + 1)
        return terms

    def _end_step(self, step: TrainingStep, steps: int) -> None:
        """Begin and end the parts of the measurement after a number of steps."""
        device = self.fabric.device
        if steps in {self._speed.start, self._speed.stop, self._detail.start, self._traced.start, self._traced.stop}:
            synchronize(device)
        now = time.perf_counter()
        if steps == self._speed.start:
            self._begin, self._repeated_before = now, step.graph.repeated if step.graph else 0
        if steps == self._speed.stop:
            self._end, self.memory = now, peak_memory(device)
            if step.graph:
                self.repeated = (step.graph.repeated - self._repeated_before) / self.extent.steps
                self.graph_failure = step.graph.failure
        if self._traced and steps == self._traced.start:
            self._profiler = torch.profiler.profile()
            self._profiler.start()
        if self._traced and steps == self._traced.stop:
            self._profiler.stop()
            assert self.extent.traces is not None
            _write_trace(self._profiler, trace_path(self.extent.traces, step.stage.name))
        self._marked = time.perf_counter()

    def _mark(self, part: str) -> None:
        """Attribute the time since the last mark to a part of the step."""
        if self._at in self._detail:
            synchronize(self.fabric.device)
            now = time.perf_counter()
            self._seconds[part] += now - self._marked
            self._marked = now

    def _save(self, optimizer: Any) -> None:
        """Write no checkpoint."""

    def _require_finite(self, losses: Mapping[str, float]) -> None:
        """Measure also a method that diverges."""

    def _finish_epoch(
        self, stage: Stage, optimizer: Any, losses: dict[str, float], seconds: float, frames: int
    ) -> None:
        raise _Measured


def measure_training(extent: Extent, context: TrainContext, phase: TrainPhase) -> MeasuredTrainer:
    """Measure a stage as a fold trains it: without images in the GPU's memory if they leave too little for a step.

    Args:
        extent: Number of steps.
        context: Method, data and device.
        phase: Stage and training frames.

    Returns:
        The trainer after its last step.
    """

    def train(may_hold_images: bool) -> MeasuredTrainer:
        trainer = MeasuredTrainer(extent, replace(context, may_hold_images=may_hold_images), phase)
        trainer.run()
        return trainer

    return retry_without_images(train)


def _write_trace(profiler: torch.profiler.profile, path: Path) -> None:
    """Write the trace of a profiler atomically. PyTorch itself writes only to a path."""
    with tempfile.TemporaryDirectory(prefix="aubench-") as folder:
        scratch = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(scratch))
        with scratch.open("rb") as trace, atomic.atomic_write(path) as file:
            shutil.copyfileobj(trace, file)


def _first(batch: Batch) -> Batch:
    """Return a copy of the first frames or clips of a batch."""
    inputs = {m: x[:SAMPLE].clone() for m, x in batch.inputs.items()}
    landmarks, is_extra = (None if x is None else x[:SAMPLE].clone() for x in (batch.landmarks, batch.is_extra))
    return Batch(inputs, batch.labels[:SAMPLE].clone(), landmarks, is_extra)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes: allocated by PyTorch on an NVIDIA GPU, else resident of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
