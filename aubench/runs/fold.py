"""Training, selection and test of one fold. An interrupted fold resumes."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from aubench._util import ranks
from aubench._util.seeds import derive, seed_everything
from aubench.core import hashing
from aubench.core.errors import ImagesLeaveNoMemory
from aubench.data import clips
from aubench.data.splits import FoldSplit, ProtocolDataset
from aubench.evaluation import inference
from aubench.evaluation.predictor import Predictor
from aubench.metrics import scores
from aubench.results.run_folder import PREDICTIONS, RESULT, WEIGHTS, remove_resume_files
from aubench.runs import devices, environment, fold_status
from aubench.runs.config import RunConfig
from aubench.runs.events import Event, FoldFinished, TrainingStarted
from aubench.runs.fold_result import FoldResult, learning_curve
from aubench.runs.pretraining import PretrainingResult, prepare_weights
from aubench.training.state import TrainState
from aubench.training.train_phase import TrainContext, TrainPhase
from aubench.training.trainer import Trainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")

Report = Callable[[Event], None]
"""Callback for the events of a fold."""


@dataclass(frozen=True)
class TrainedFold:
    """A fold's method with the chosen weights.

    Attributes:
        context: Method, data and device.
        trainer: Trainer after its last stage.
        pretrained: Result of pre-training; None if there was none.
    """

    context: TrainContext
    trainer: Trainer
    pretrained: PretrainingResult | None


def run_fold(
    config: RunConfig, fold: int, kind: str, index: int, report: Report, captured: dict[str, Any] | None = None
) -> None:
    """Finish a fold of a run, or resume it. The processes of a group call this together.

    Args:
        config: The run.
        fold: Number of the fold, from 1.
        kind: Kind of device.
        index: Index of the device among those of its kind.
        report: Callback for each epoch and the end.
        captured: Packages and git state at the start of the command; captured now if None.
    """
    folder = config.fold_dir(fold)
    folder.mkdir(parents=True, exist_ok=True)
    with ranks.exclusive(folder / ".lock"):
        if (folder / RESULT).exists():
            if ranks.is_first():
                remove_resume_files(folder)
            report(FoldFinished(None, 0))
            return
        device: dict[str, Any] = {
            "kind": kind,
            "name": devices.device_name(kind, index),
            "precision": config.precision,
            "fp32_precision": devices.fp32_precision(config.precision),
            **({"count": ranks.count()} if ranks.count() > 1 else {}),
            **({"instructions": devices.cpu_instructions()} if kind == "cpu" else {}),
        }
        captured = captured or environment.capture_environment()
        tracked = fold_status.track(folder, device["name"], report) if ranks.is_first() else nullcontext(report)
        with tracked as report_status:
            data, split = config.load_data(fold)
            compute = config.count_flops()
            trained = train_fold(config, data, split, kind, index, report_status)
            environment_info = {"device": device | {"threads": torch.get_num_threads()}, **captured}
            result = _score_fold(
                config, trained, split, {"made": environment_info, "compute": compute.model_dump(mode="json")}
            )
            if result is not None:
                result.save(folder)
        if ranks.is_first():
            remove_resume_files(folder)
        report(FoldFinished(result, len(trained.trainer.state.epochs)))


def train_fold(
    config: RunConfig, data: ProtocolDataset, split: FoldSplit, kind: str, index: int, report: Report
) -> TrainedFold:
    """Pre-train and train a fold's method, or resume. Runs and trials of a search share this function.

    Args:
        config: The run, or the trial of a search.
        data: Frames of the store, restricted to those that may be read.
        split: Rows of the fold.
        kind: Kind of device.
        index: Index of the device among those of its kind.
        report: Callback for each epoch.
    """
    if kind == "cpu":
        torch.set_num_threads(1)
    return retry_without_images(
        lambda may_hold_images: _train_fold(config, data, split, kind, index, report, may_hold_images=may_hold_images)
    )


def retry_without_images(train: Callable[[bool], T]) -> T:
    """Train with images in the GPU's memory, and again without them if they leave too little memory.

    Args:
        train: Function of whether images may be held there.
    """
    with suppress(ImagesLeaveNoMemory):
        return train(True)
    gc.collect()
    torch.cuda.empty_cache()
    return train(False)


def _train_fold(
    config: RunConfig,
    data: ProtocolDataset,
    split: FoldSplit,
    kind: str,
    index: int,
    report: Report,
    *,
    may_hold_images: bool,
) -> TrainedFold:
    context = prepare_context(config, split.fold, data, devices.fabric_for(kind, index, config.precision), report)
    context = replace(context, may_hold_images=may_hold_images)
    report(TrainingStarted({stage.name: stage.epochs for stage in context.method.stages()}))
    pretrained = prepare_weights(config, context, split)
    return TrainedFold(context, _train(config, context, split, pretrained), pretrained)


def prepare_context(
    config: RunConfig, fold: int, data: ProtocolDataset, fabric: Fabric, report: Report
) -> TrainContext:
    """Build the method of a fold with its initial weights on the device."""
    method = config.build_initial_method(fold)
    devices.move_to_device(method, fabric)
    return TrainContext(config.entry.name, config.seed, config.protocol.seed, fold, data, fabric, method, report)


def pass_train_labels(context: TrainContext, split: FoldSplit) -> None:
    """Pass the labels of the training role to the method of a fold, one tensor per sequence."""
    labels = context.data.labels
    context.method.on_train_labels(
        [torch.from_numpy(labels[rows]) for rows in clips.sequences(context.data, split.train)]
    )


def _train(config: RunConfig, context: TrainContext, split: FoldSplit, pretrained: PretrainingResult | None) -> Trainer:
    """Run the supervised stages."""
    method, data, recipe = context.method, context.data, config.recipe_model
    seed_everything(derive(config.seed, config.protocol.seed, split.fold, config.entry.name, "labels"))
    pass_train_labels(context, split)
    validation = split.test if config.selection == "oracle_test" else split.val
    phase = TrainPhase(
        stages=tuple(stage for stage in method.stages() if not stage.pretraining),
        train=split.train,
        val=clips.subsample(data, validation, recipe.clip_length, recipe.validation_stride),
        folder=config.fold_dir(split.fold),
        identity=config.identity(split.fold),
    )
    state = TrainState() if pretrained is None else TrainState(wall=pretrained.seconds, epochs=list(pretrained.epochs))
    trainer = Trainer(context, phase, state)
    trainer.run()
    return trainer


def _score_fold(
    config: RunConfig, trained: TrainedFold, split: FoldSplit, provenance: dict[str, Any]
) -> FoldResult | None:
    """Predict the test role and, in process 0, write the predictions. Environment and cost go to the summary."""
    context, state = trained.context, trained.trainer.state
    data, device, folder = context.data, context.fabric.device, config.fold_dir(split.fold)
    predictor = Predictor(context.method, context.fabric.autocast)
    inference.predict_probabilities(predictor, data, split.test[: inference.batch_size(device)], device)  # warm-up
    begin = time.perf_counter()
    probs = inference.predict_probabilities(predictor, data, split.test, device)
    seconds = time.perf_counter() - begin
    if not ranks.is_first():
        return None
    inference.write_predictions(folder / PREDICTIONS, probs, data, split.test)
    counts, histograms = inference.score_tables(probs, data, split.test, fold=split.fold)
    roles = {"train": split.train, "val": split.val, "test": split.test}
    summary = {
        "fold": split.fold,
        "host": socket.gethostname(),
        "epochs": len(state.epochs),
        "best_epoch": state.best_epoch,
        "seconds": round(state.wall + seconds, 3),
        "train_seconds": round(state.seconds, 3),
        "train_frames_per_s": round(state.frames / max(state.seconds, 1e-9), 1),
        "inference_frames_per_s": round(len(probs) / max(seconds, 1e-9), 1),
        **provenance,
        "data": data.record_fields(),
        "frames": {role: len(rows) for role, rows in roles.items()},
        "subjects": {role: sorted(set(data.subjects[rows].tolist())) for role, rows in roles.items()},
        "pretraining": [] if trained.pretrained is None else trained.pretrained.sources,
        "train_prevalence": data.prevalence(split.train),
        "checkpoint": hashing.hash_unchanged_file(folder / WEIGHTS),
        "scores": scores.summarize(counts, histograms).to_dict(),
    }
    return FoldResult(summary, counts, histograms, learning_curve(summary, state.epochs))
