"""Measurements of speed for ``docs/performance.md``: the harness and a bare loop, prediction, and cost by frames."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch

from aubench.core.method import BranchedMethod, Stage
from aubench.data.splits import FoldSplit
from aubench.evaluation.predictor import Predictor
from aubench.runs import profiling
from aubench.runs.bare_loop import BareLoop
from aubench.runs.config import RunConfig
from aubench.runs.measured_trainer import Extent, MeasuredTrainer, measure_training
from aubench.runs.profiling import ProfileSettings
from aubench.training.train_phase import TrainContext

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

    return {
        "profile": asdict(profile),
        "training": _training_speeds(train, extent, _bare_loops(context, stage, split)),
        "scaling": _scaling(train, extent.steps),
        "inference": _inference(context, split, BATCHES[kind]),
    }


def _bare_loops(context: TrainContext, stage: Stage, split: FoldSplit) -> dict[str, BareLoop]:
    if context.method.recipe.clip_length is not None:
        return {}
    loops = {"bare": BareLoop(context, stage, split.train)}
    if isinstance(context.method, BranchedMethod):
        loops["networks"] = BareLoop(context, stage, split.train, networks_only=True)
    return loops


def _training_speeds(
    train: Callable[[int], MeasuredTrainer], extent: Extent, loops: Mapping[str, BareLoop]
) -> dict[str, float]:
    """Return the median frames per second of the harness and of bare loops, which take turns."""
    speeds: dict[str, list[float]] = {"harness": [], **{name: [] for name in loops}}
    for loop in loops.values():
        loop.train(extent.warmup)
    for _ in range(ROUNDS):
        speeds["harness"].append(train(extent.steps).frames_per_s)
        for name, loop in loops.items():
            speeds[name].append(loop.frames_per_s(extent.steps))
    return {name: median(values) for name, values in speeds.items()}


def _scaling(train: Callable[[int], MeasuredTrainer], steps: int) -> list[dict[str, float]]:
    """Return the seconds of training by number of frames."""
    rows = []
    for factor in FACTORS:
        trainer = train(factor * steps)
        frames = factor * steps * trainer.frames
        rows.append({"factor": factor, "frames": frames, "seconds": frames / trainer.frames_per_s})
    return rows


def _inference(context: TrainContext, split: FoldSplit, batches: Sequence[int]) -> list[dict[str, float]]:
    """Return the latency and the frames per second of prediction by batch size."""
    predictor = Predictor(context.method, context.fabric.autocast)
    rows = []
    for batch in batches:
        middle, high = profiling.latency(predictor, context, split.test, batch)
        frames = batch * (context.method.recipe.clip_length or 1)
        rows.append({"batch": batch, "p50": middle, "p95": high, "frames_per_s": frames / middle})
    return rows


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
