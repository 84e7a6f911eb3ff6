"""Measurements of speed for ``docs/performance.md``: the harness and a bare loop, prediction, and cost by frames."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch

from aubench.core.method import BranchedMethod
from aubench.evaluation.predictor import Predictor
from aubench.runs import profiling
from aubench.runs.bare_loop import BareLoop
from aubench.runs.config import RunConfig
from aubench.runs.measured_trainer import Extent, MeasuredTrainer, measure_training
from aubench.runs.profiling import ProfileSettings

ROUNDS = 3
"""Measurements of the harness and of each bare loop, in turns, of which the median counts."""
FACTORS = (1, 2, 4, 8)
"""Multiples of the frames for which the cost of training is measured."""


@dataclass(frozen=True)
class SpeedCase:
    """A method whose speed is measured.

    Attributes:
        method: Name of a built-in method.
        preset: Recipe preset.
        precision: Precision.
    """

    method: str
    preset: str
    precision: str = "32-true"


CASES = {
    "cpu": (SpeedCase("late_fusion", "small"), SpeedCase("amf", "small")),
    "cuda": (
        *(SpeedCase(name, "paper", "bf16-mixed") for name in ("amf", "late_fusion", "mcm")),
        SpeedCase("amf", "small"),
        SpeedCase("au_vmae", "paper", "bf16-mixed"),
        *(SpeedCase("amf", "paper", precision) for precision in ("tf32", "32-true")),
    ),
}
"""Cases by kind of device."""
BATCHES = {"cpu": (1, 8, 64), "cuda": (1, 8, 64, 256, 512)}
"""Batch sizes of prediction by kind of device."""
EXTENTS = {"cpu": Extent(5, 40), "cuda": Extent(10, 50)}
CLIP_EXTENTS = {"cpu": Extent(2, 2), "cuda": Extent(5, 10)}
"""The same for methods of clips, whose steps have many frames."""


def speed_job(config: RunConfig, fold: int, kind: str, index: int, report: Callable[[Any], None]) -> None:
    """Measure a case in the process of a job and report the figures as JSON data."""
    extents = EXTENTS if config.recipe_model.clip_length is None else CLIP_EXTENTS
    report(measure(config, fold, kind, index, extents[kind]))


def measure(config: RunConfig, fold: int, kind: str, index: int, extent: Extent) -> dict[str, Any]:
    """Measure the speed of a method on random images.

    Args:
        config: Run of the method.
        fold: Number of the fold, from 1.
        kind: Kind of device.
        index: Index of the device among those of its kind.
        extent: Number of training steps.

    Returns:
        ``profile`` (fields of :class:`~aubench.runs.profiling.Profile`), ``training`` (frames per second of the
        ``harness``, of a ``bare`` loop and of the ``networks`` in a bare loop, the last two missing for methods of
        clips), ``scaling`` (seconds by number of frames) and ``inference`` (frames per second and latency by batch
        size).
    """
    settings = ProfileSettings(extent, random=True)
    profile = profiling.profile_fold(settings, config, fold, kind, index)
    context, split = profiling.open_fold(settings, config, fold, kind, index)
    stage = context.method.stages()[-1]
    phase = profiling.stage_phase(config, split, stage)

    def train(steps: int) -> MeasuredTrainer:
        return measure_training(Extent(extent.warmup, steps), context, phase)

    loops: dict[str, BareLoop] = {}
    if context.method.recipe.clip_length is None:
        loops["bare"] = BareLoop(context, stage, split.train)
        if isinstance(context.method, BranchedMethod):
            loops["networks"] = BareLoop(context, stage, split.train, networks_only=True)
    speeds: dict[str, list[float]] = {"harness": [], **{name: [] for name in loops}}
    for loop in loops.values():
        loop.train(extent.warmup)
    for _ in range(ROUNDS):
        speeds["harness"].append(train(extent.steps).frames_per_s)
        for name, loop in loops.items():
            speeds[name].append(loop.frames_per_s(extent.steps))
    scaling = []
    for factor in FACTORS:
        trainer = train(factor * extent.steps)
        frames = factor * extent.steps * trainer.frames
        scaling.append({"factor": factor, "frames": frames, "seconds": frames / trainer.frames_per_s})
    predictor = Predictor(context.method, context.fabric.autocast)
    inference = []
    for batch in BATCHES[kind]:
        middle, high = profiling.latency(predictor, context, split.test, batch)
        frames = batch * (context.method.recipe.clip_length or 1)
        inference.append({"batch": batch, "p50": middle, "p95": high, "frames_per_s": frames / middle})
    return {
        "profile": asdict(profile),
        "training": {name: median(values) for name, values in speeds.items()},
        "scaling": scaling,
        "inference": inference,
    }


def driver_version() -> str | None:
    """Return the version of NVIDIA's driver; None if there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split("\n")[0].strip() or None


def versions(kind: str) -> dict[str, str | None]:
    """Return the versions of the driver and of CUDA, none for a CPU."""
    return {"driver": driver_version(), "cuda": torch.version.cuda} if kind == "cuda" else {}
