"""About how long runs take, told from what similar ones took; or from operations, where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aubench.core.errors import RecordError
from aubench.evaluation import flops
from aubench.metrics.scores import mean
from aubench.results import record as record_file
from aubench.results.record import RecordInfo
from aubench.runs.config import RunConfig

BACKWARD = 3
"""A step of training costs about three times its forward pass."""
_SPEEDS = {"cpu": 3e10}
_FASTER = 5e12
"""Operations a second that training reaches where no record tells: on a CPU core as measured, elsewhere at a guess."""


def read_timings(folders: Iterable[Path]) -> list[RecordInfo]:
    """What is said by all the records below some folders that can be read."""
    found = []
    for path in (path for folder in folders for path in sorted(folder.rglob(record_file.FILE))):
        try:
            found.append(RecordInfo.parse(path.read_bytes(), where=path))
        except RecordError:
            continue
    return found


def training(plan: RunConfig, folds: int, records: Sequence[RecordInfo], kind: str, frames: int) -> float:
    """Seconds of work on one device.

    Args:
        plan: A run.
        folds: How many of its folds.
        records: Of finished runs.
        kind: The kind of device.
        frames: In the store; for recipes that see all of them in an epoch.
    """
    speeds = [_speed(info) for info in _nearest(plan, records, kind) if info.time.seconds]
    seen = _seen(plan.recipe, round(frames * (1 - 1 / len(plan.protocol.folds))))
    return folds * seen * BACKWARD * _operations(plan) / _mean(speeds, kind)


def evaluation(plan: RunConfig, conditions: int, records: Sequence[RecordInfo], kind: str, frames: int) -> float:
    """Seconds of work on one device that further conditions of a run take."""
    speeds = [
        info.compute.total.flops * info.speed.inference_frames_per_s
        for info in _nearest(plan, records, kind)
        if info.speed.inference_frames_per_s
    ]
    return conditions * frames * _operations(plan) / _mean(speeds, kind)


def format_duration(seconds: float) -> str:
    """A duration, roughly."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _operations(plan: RunConfig) -> int:
    return flops.count_flops(plan.entry.method_class, plan.task, plan.recipe_model).total.flops


def _speed(info: RecordInfo) -> float:
    """Operations a second that a run's training reached."""
    seen = sum(_seen(info.recipe, fold.frames.train) for fold in info.folds)
    return BACKWARD * info.compute.total.flops * seen / info.time.seconds


def _mean(speeds: Sequence[float], kind: str) -> float:
    """Operations a second, as records tell or as is usual."""
    return mean(speeds) if speeds else _SPEEDS.get(kind, _FASTER)


def _nearest(plan: RunConfig, records: Sequence[RecordInfo], kind: str) -> list[RecordInfo]:
    """Runs of the same method and preset on such a device, those whose recipe and modalities differ least."""
    far: dict[int, list[RecordInfo]] = {}
    for info in records:
        if (info.method.name, info.preset, info.device.kind) == (plan.entry.name, plan.preset, kind):
            distance = sum(info.recipe.get(key) != value for key, value in plan.recipe.items())
            distance += 2 * (info.method.modalities != plan.task.modalities)
            far.setdefault(distance, []).append(info)
    return far[min(far)] if far else []


def _seen(recipe: Mapping[str, Any], frames: int) -> int:
    """Frames that training and pre-training look at, of as many in their role."""
    before = recipe.get("pretrain_epochs", 0) * (recipe.get("pretrain_frames_per_epoch") or frames)
    return max(1, int(recipe["epochs"] * (recipe.get("frames_per_epoch") or frames) + before))
