"""One fold of a run: train, choose, predict, count. A killed one goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock

from aubench import atomic, digest
from aubench.data.roles import Labelled, Roles, Rows
from aubench.data.store import Store
from aubench.engine import checkpoint, devices, predict
from aubench.engine.plan import Plan
from aubench.engine.sealed import Sealed
from aubench.engine.seeds import derive
from aubench.engine.training import WEIGHTS, Training
from aubench.scores import counts as counts_file
from aubench.scores import histograms as histograms_file
from aubench.scores import metrics

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Report = Callable[[dict[str, Any]], None]
"""How a fold tells what it does: plain facts, ``kind`` among them."""

RESULT = "result.json"
PREDICTIONS = "predictions.parquet"


def run_fold(plan: Plan, fold: int, kind: str, index: int, report: Report) -> None:
    """Finish a fold of a run, from wherever it stands.

    Args:
        plan: The run.
        fold: Number of the fold, from 1.
        kind: Kind of device.
        index: Which device of that kind.
        report: Told of each epoch and of the end.
    """
    folder = plan.fold_folder(fold)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if (folder / RESULT).exists():
            return
        if kind == "cpu":
            torch.set_num_threads(1)
        data = Labelled(Store(plan.store.path), plan.protocol)
        roles = data.roles(fold, validation=plan.selection == "inner_val")
        fabric = devices.fabric_for(kind, index, plan.precision)
        torch.manual_seed(derive(plan.seed, plan.protocol.digest, fold, plan.entry.name, "initialisation"))
        training = Training(plan, fold, data, roles, fabric, report)
        training.run()
        _score(plan, roles, data, training, fabric)
        report({"kind": "fold", "fold": fold, "epochs": len(training.history.epochs)})


def _score(plan: Plan, roles: Roles, data: Labelled, training: Training, fabric: Fabric) -> None:
    folder, identity = plan.fold_folder(roles.fold), plan.identity(roles.fold)
    method = training.method
    method.load_state_dict(checkpoint.read(folder / WEIGHTS, identity).tensors)
    sealed = Sealed(method, training.wrapped)
    _warm_up(sealed, data, roles, fabric.device)
    begin = time.perf_counter()
    found = predict.probabilities(sealed, data, roles.test, fabric.device)
    seconds = time.perf_counter() - begin
    counts = predict.count(found, data, roles.test, fold=roles.fold)
    labels = data.labels[roles.test]
    histograms = histograms_file.of_predictions(
        found, labels, plan.protocol.aus, condition=counts_file.CLEAN, fold=roles.fold
    )
    predict.write_predictions(folder / PREDICTIONS, found, data, roles.test)
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
        "threads": torch.get_num_threads(),
        "frames": {"train": len(roles.train), "val": len(roles.val), "test": len(roles.test)},
        "subjects": {
            "train": _subjects(data, roles.train),
            "val": _subjects(data, roles.val),
            "test": _subjects(data, roles.test),
        },
        "train_prevalence": data.prevalence(roles.train),
        "checkpoint": digest.of_file(folder / WEIGHTS),
        "scores": _scores(counts, histograms),
    }
    atomic.write_json(folder / RESULT, result)
    training.forget()


def _warm_up(sealed: Sealed, data: Labelled, roles: Roles, device: torch.device) -> None:
    predict.probabilities(sealed, data, roles.test[: predict.BATCH], device)


def _subjects(data: Labelled, rows: Rows) -> list[str]:
    return sorted(set(np.unique(data.subjects[rows]).tolist()))


def _scores(counts: Any, histograms: Any) -> dict[str, Any]:
    summary = metrics.summarise(counts, histograms)
    per_au = {
        au: {"f1": f1, "acc": summary.acc_by_au[au], "auc": summary.auc_by_au[au], "ap": summary.ap_by_au[au]}
        for au, f1 in summary.f1_by_au.items()
    }
    return {"f1": summary.f1_mean, "acc": summary.acc, "auc": summary.auc, "ap": summary.ap, "per_au": per_au}
