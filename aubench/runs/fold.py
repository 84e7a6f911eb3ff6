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
from aubench.data.splits import Labelled, Roles, Rows
from aubench.evaluation import inference
from aubench.evaluation.predictor import Sealed
from aubench.metrics import scores
from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file
from aubench.runs import devices, environment
from aubench.runs.config import Plan
from aubench.runs.pretraining import Pretrained, pretrained
from aubench.training.state import History
from aubench.training.trainer import WEIGHTS, Part, Place, Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Trained:
    """A fold's method with the weights that were chosen.

    Attributes:
        place: Method and device.
        training: How it went.
        before: What was done before the labels came; None where nothing was.
    """

    place: Place
    training: Training
    before: Pretrained | None


Report = Callable[[dict[str, Any]], None]
"""How a fold tells what it does: plain facts, ``kind`` among them."""

RESULT = "result.json"
PREDICTIONS = "predictions.parquet"


def run_fold(
    plan: Plan, fold: int, kind: str, index: int, report: Report, surroundings: dict[str, Any] | None = None
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
    folder = plan.fold_folder(fold)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if (folder / RESULT).exists():
            return
        made = {"device": {"kind": kind, "name": devices.named(kind, index), "precision": plan.precision}}
        made |= surroundings or environment.surroundings()
        data, roles = plan.opened(fold)
        done = trained(plan, data, roles, kind, index, report)
        _score(done.place, roles, done.training, done.before, made)
        report({"kind": "fold", "fold": fold, "epochs": len(done.training.history.epochs)})


def trained(plan: Plan, data: Labelled, roles: Roles, kind: str, index: int, report: Report) -> Trained:
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
    place = _placed(plan, roles.fold, data, devices.fabric_for(kind, index, plan.precision), report)
    before = pretrained(place, roles)
    return Trained(place, _trained(place, roles, before), before)


def _placed(plan: Plan, fold: int, data: Labelled, fabric: Fabric, report: Report) -> Place:
    torch.manual_seed(derive(plan.seed, plan.protocol.seed, fold, plan.entry.name, "initialisation"))
    method = plan.build()
    devices.place(method, fabric)
    return Place(plan, fold, data, fabric, method, report)


def _trained(place: Place, roles: Roles, before: Pretrained | None) -> Training:
    """The supervised stages, done."""
    plan, fold, data = place.plan, place.fold, place.data
    place.method.meet([torch.from_numpy(data.labels[rows]) for rows in clips.sequences(data, roles.train)])
    val = roles.test if plan.selection == "oracle_test" else roles.val
    part = Part(
        stages=tuple(stage for stage in place.method.stages() if not stage.pretraining),
        train=roles.train,
        val=_thinned(data, val, plan.typed_recipe),
        folder=plan.fold_folder(fold),
        identity=plan.identity(fold),
    )
    history = History() if before is None else History(wall=before.seconds, epochs=list(before.epochs))
    training = Training(place, part, history)
    training.run()
    return training


def _thinned(data: Labelled, rows: Rows, recipe: Recipe) -> Rows:
    """Every how many frames, or clips, the recipe wants to be validated on."""
    if recipe.clip_length is None:
        return rows[:: recipe.validation_stride]
    kept = clips.tiled(data, rows, recipe.clip_length)[:: recipe.validation_stride]
    return np.sort(kept[kept >= 0])


def _score(place: Place, roles: Roles, training: Training, before: Pretrained | None, made: dict[str, Any]) -> None:
    plan, data, device = place.plan, place.data, place.fabric.device
    folder = plan.fold_folder(roles.fold)
    sealed = Sealed(place.method, place.fabric.autocast)
    _warm_up(sealed, data, roles, device)
    begin = time.perf_counter()
    found = inference.probabilities(sealed, data, roles.test, device)
    seconds = time.perf_counter() - begin
    counts = inference.count(found, data, roles.test, fold=roles.fold)
    labels = data.labels[roles.test]
    histograms = histograms_file.of_predictions(
        found, labels, plan.protocol.aus, condition=counts_file.CLEAN, fold=roles.fold
    )
    inference.write_predictions(folder / PREDICTIONS, found, data, roles.test)
    counts_file.write(counts, folder)
    histograms_file.write(histograms, folder)
    history = training.history
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
        "pretraining": [] if before is None else before.ledger,
        "train_prevalence": data.prevalence(roles.train),
        "checkpoint": hashing.of_file(folder / WEIGHTS),
        "scores": _scores(counts, histograms),
    }
    atomic.write_json(folder / RESULT, result)
    training.forget()


def _warm_up(sealed: Sealed, data: Labelled, roles: Roles, device: torch.device) -> None:
    inference.probabilities(sealed, data, roles.test[: inference.BATCH], device)


def _subjects(data: Labelled, rows: Rows) -> list[str]:
    return sorted(set(np.unique(data.subjects[rows]).tolist()))


def _scores(counts: Any, histograms: Any) -> dict[str, Any]:
    summary = scores.summarise(counts, histograms)
    per_au = {
        au: {"f1": f1, "acc": summary.acc_by_au[au], "auc": summary.auc_by_au[au], "ap": summary.ap_by_au[au]}
        for au, f1 in summary.f1_by_au.items()
    }
    return {"f1": summary.f1_mean, "acc": summary.acc, "auc": summary.auc, "ap": summary.ap, "per_au": per_au}
