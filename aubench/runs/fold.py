"""One fold of a run: train, choose, predict, count. A killed one goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock

from aubench._util import atomic
from aubench._util.seeds import derive
from aubench.core import hashing
from aubench.core.recipe import Recipe
from aubench.data import clips
from aubench.data.splits import FoldSplit, ProtocolDataset, Rows
from aubench.evaluation import inference
from aubench.evaluation.predictor import Predictor
from aubench.metrics import scores
from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file
from aubench.results.run_folder import PREDICTIONS, RESULT, WEIGHTS
from aubench.runs import devices, environment
from aubench.runs.config import RunConfig
from aubench.runs.pretraining import PretrainingResult, pretrain_or_load
from aubench.training.state import TrainState
from aubench.training.trainer import TrainContext, Trainer, TrainPhase

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class TrainedFold:
    """A fold's method with the weights that were chosen.

    Attributes:
        place: Method and device.
        training: How it went.
        before: What was done before the labels came; None where nothing was.
    """

    context: TrainContext
    trainer: Trainer
    pretrained: PretrainingResult | None


Report = Callable[[dict[str, Any]], None]
"""How a fold tells what it does: plain facts, ``kind`` among them."""


def run_fold(
    plan: RunConfig, fold: int, kind: str, index: int, report: Report, surroundings: dict[str, Any] | None = None
) -> None:
    """Finish a fold of a run, from wherever it stands.

    Args:
        plan: The run.
        fold: Number of the fold, from 1.
        kind: Kind of device.
        index: Which device of that kind.
        report: Told of each epoch and of the end.
        surroundings: Libraries and code that the command began with; those of this moment where None.
    """
    folder = plan.fold_dir(fold)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if (folder / RESULT).exists():
            return
        made = {"device": {"kind": kind, "name": devices.device_name(kind, index), "precision": plan.precision}}
        made |= surroundings or environment.capture_environment()
        data, roles = plan.load_data(fold)
        done = train_fold(plan, data, roles, kind, index, report)
        _score_fold(done.context, roles, done.trainer, done.pretrained, made)
        report({"kind": "fold", "fold": fold, "epochs": len(done.trainer.state.epochs)})


def train_fold(
    plan: RunConfig, data: ProtocolDataset, roles: FoldSplit, kind: str, index: int, report: Report
) -> TrainedFold:
    """Bring a fold's method through pre-training and training, from wherever these stand; a search does as a run does.

    Args:
        plan: The run, or the trial of a search.
        data: The store's frames, as far as they may be seen.
        roles: The fold's.
        kind: Kind of device.
        index: Which device of that kind.
        report: Told of each epoch.
    """
    if kind == "cpu":
        torch.set_num_threads(1)
    place = _setup(plan, roles.fold, data, devices.fabric_for(kind, index, plan.precision), report)
    before = pretrain_or_load(place, roles)
    return TrainedFold(place, _train(place, roles, before), before)


def _setup(plan: RunConfig, fold: int, data: ProtocolDataset, fabric: Fabric, report: Report) -> TrainContext:
    torch.manual_seed(derive(plan.seed, plan.protocol.seed, fold, plan.entry.name, "initialisation"))
    method = plan.build_method()
    devices.move_to_device(method, fabric)
    return TrainContext(plan, fold, data, fabric, method, report)


def _train(place: TrainContext, roles: FoldSplit, before: PretrainingResult | None) -> Trainer:
    """The supervised stages, done."""
    plan, fold, data = place.plan, place.fold, place.data
    place.method.on_train_labels([torch.from_numpy(data.labels[rows]) for rows in clips.sequences(data, roles.train)])
    val = roles.test if plan.selection == "oracle_test" else roles.val
    part = TrainPhase(
        stages=tuple(stage for stage in place.method.stages() if not stage.pretraining),
        train=roles.train,
        val=_subsample_validation(data, val, plan.recipe_model),
        folder=plan.fold_dir(fold),
        identity=plan.identity(fold),
    )
    history = TrainState() if before is None else TrainState(wall=before.seconds, epochs=list(before.epochs))
    training = Trainer(place, part, history)
    training.run()
    return training


def _subsample_validation(data: ProtocolDataset, rows: Rows, recipe: Recipe) -> Rows:
    """Every how many frames, or clips, the recipe wants to be validated on."""
    if recipe.clip_length is None:
        return rows[:: recipe.validation_stride]
    kept = clips.cover_with_clips(data, rows, recipe.clip_length)[:: recipe.validation_stride]
    return np.sort(kept[kept >= 0])


def _score_fold(
    place: TrainContext, roles: FoldSplit, training: Trainer, before: PretrainingResult | None, made: dict[str, Any]
) -> None:
    plan, data, device = place.plan, place.data, place.fabric.device
    folder = plan.fold_dir(roles.fold)
    sealed = Predictor(place.method, place.fabric.autocast)
    _warm_up(sealed, data, roles, device)
    begin = time.perf_counter()
    found = inference.predict_probabilities(sealed, data, roles.test, device)
    seconds = time.perf_counter() - begin
    counts = inference.count_table(found, data, roles.test, fold=roles.fold)
    labels = data.labels[roles.test]
    histograms = histograms_file.of_predictions(
        found, labels, plan.protocol.aus, condition=counts_file.CLEAN, fold=roles.fold
    )
    inference.write_predictions(folder / PREDICTIONS, found, data, roles.test)
    counts_file.write(counts, folder)
    histograms_file.write(histograms, folder)
    history = training.state
    result = {
        "fold": roles.fold,
        "epochs": len(history.epochs),
        "best_epoch": history.best_epoch,
        "seconds": round(history.wall + seconds, 3),
        "train_seconds": round(history.seconds, 3),
        "train_frames_per_s": round(history.frames / max(history.seconds, 1e-9), 1),
        "inference_frames_per_s": round(len(found) / max(seconds, 1e-9), 1),
        "made": made | {"device": made["device"] | {"threads": torch.get_num_threads()}},
        "frames": {"train": len(roles.train), "val": len(roles.val), "test": len(roles.test)},
        "subjects": {
            "train": _subjects(data, roles.train),
            "val": _subjects(data, roles.val),
            "test": _subjects(data, roles.test),
        },
        "pretraining": [] if before is None else before.sources,
        "train_prevalence": data.prevalence(roles.train),
        "checkpoint": hashing.hash_file(folder / WEIGHTS),
        "scores": scores.summarize(counts, histograms).to_dict(),
    }
    atomic.write_json(folder / RESULT, result)
    training.remove_resume_files()


def _warm_up(sealed: Predictor, data: ProtocolDataset, roles: FoldSplit, device: torch.device) -> None:
    inference.predict_probabilities(sealed, data, roles.test[: inference.BATCH], device)


def _subjects(data: ProtocolDataset, rows: Rows) -> list[str]:
    return sorted(set(np.unique(data.subjects[rows]).tolist()))
