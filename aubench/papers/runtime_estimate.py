"""Estimated time of runs, from records of similar runs or else from their operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from aubench.core import system_files
from aubench.core.errors import RecordError
from aubench.core.method import Method
from aubench.core.task import Task
from aubench.evaluation import flops
from aubench.metrics.scores import mean
from aubench.results import record as record_file
from aubench.results.record_info import RecordInfo
from aubench.runs.config import RunConfig

TRAINING_FACTOR = 3
"""Cost of a training step relative to its forward pass."""
_DEFAULT_SPEEDS = {"cpu": 3e10}
_DEFAULT_SPEED = 5e12
"""Operations per second in training without a record: measured on a CPU core, guessed for other devices."""


def read_timings(folders: Iterable[Path]) -> list[RecordInfo]:
    """Read all valid records below some folders."""
    infos = []
    for path in (path for folder in folders for path in system_files.files_named(folder, record_file.FILE)):
        with suppress(RecordError):
            infos.append(RecordInfo.parse(path.read_bytes(), where=path))
    return infos


def training(config: RunConfig, folds: int, records: Sequence[RecordInfo], kind: str, frames: int) -> float:
    """Return the estimated seconds of training on one device.

    Args:
        config: Run.
        folds: Number of its folds.
        records: Records of finished runs.
        kind: Kind of the device.
        frames: Frames in the store, for recipes whose epoch has all of them.
    """
    speeds = [_training_speed(info) for info in _nearest(config, records, kind) if info.time and info.time.seconds]
    protocol, count = config.protocol, config.protocol.fold_count
    share = 1 - 1 / count if count > 1 else len(protocol.train_subjects(1)) / len(protocol.subjects)
    seen = _seen_frames(config.recipe, round(frames * share))
    return folds * seen * TRAINING_FACTOR * _operations(config) / _mean(speeds, kind)


def evaluation(config: RunConfig, conditions: int, records: Sequence[RecordInfo], kind: str, frames: int) -> float:
    """Return the estimated seconds of evaluation under a number of conditions on one device."""
    speeds = [
        info.compute.total.flops * info.speed.inference_frames_per_s
        for info in _nearest(config, records, kind)
        if info.compute and info.speed.inference_frames_per_s
    ]
    return conditions * frames * _operations(config) / _mean(speeds, kind)


def _operations(config: RunConfig) -> int:
    return _count(config.entry.method_class, config.task, config.recipe_model.model_dump_json())


@cache
def _count(method_class: type[Method], task: Task, recipe: str) -> int:
    """Count the operations of a recipe in JSON, which the seeds and protocols of a table share."""
    return flops.count_flops(method_class, task, method_class.Recipe.model_validate_json(recipe)).total.flops


def _training_speed(info: RecordInfo) -> float:
    """Return the operations per second of a run's training."""
    seen = sum(_seen_frames(info.recipe, fold.frames.train) for fold in info.folds)
    assert info.compute and info.time
    return TRAINING_FACTOR * info.compute.total.flops * seen / info.time.seconds


def _mean(speeds: Sequence[float], kind: str) -> float:
    return mean(speeds) if speeds else _DEFAULT_SPEEDS.get(kind, _DEFAULT_SPEED)


def _nearest(config: RunConfig, records: Sequence[RecordInfo], kind: str) -> list[RecordInfo]:
    """Return the runs of the same method, preset and device whose recipe and modalities differ least."""
    by_distance: dict[int, list[RecordInfo]] = {}
    for info in records:
        device = info.device and info.device.kind
        if (info.method.name, info.preset, device) == (config.entry.name, config.preset, kind):
            distance = sum(info.recipe.get(key) != value for key, value in config.recipe.items())
            distance += 2 * (info.method.modalities != config.task.modalities)
            by_distance.setdefault(distance, []).append(info)
    return by_distance[min(by_distance)] if by_distance else []


def _seen_frames(recipe: Mapping[str, Any], frames: int) -> int:
    """Return the number of frames in pre-training and training, given those of the training role."""
    epochs = recipe.get("pretrain_epochs", 0)
    pretraining = min(epochs, recipe.get("pretrain_checkpoint") or epochs) * (
        recipe.get("pretrain_frames_per_epoch") or frames
    )
    return max(1, int(recipe["epochs"] * (recipe.get("frames_per_epoch") or frames) + pretraining))
