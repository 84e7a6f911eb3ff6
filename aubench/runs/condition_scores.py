"""A finished fold under further conditions: evaluated once, kept beside its weights, reused while they stay."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.conditions import Condition
from aubench.core.method import Method
from aubench.core.task import Modality
from aubench.data import clips, loader
from aubench.data.splits import ProtocolDataset, Rows
from aubench.evaluation import inference
from aubench.evaluation.corruptions import FrameNoise, Means
from aubench.evaluation.multi_condition import MultiConditionPredictor
from aubench.results import counts, histograms
from aubench.results.run_folder import WEIGHTS
from aubench.runs import devices, loading
from aubench.runs.config import RunConfig

FOLDER = "conditions"
HEADER = "conditions.json"
VERSION = 1
"""Raised whenever the same condition would give other numbers."""
MEAN_FRAMES = 2000
"""Most frames of the training role that a mean image is taken of, spread evenly."""


@dataclass(frozen=True)
class ConditionScores:
    """What a fold scored under further conditions.

    Attributes:
        conditions: In the order of their evaluation, ``clean`` not among them.
        counts: Of these conditions, as :mod:`aubench.results.counts` keeps them.
        histograms: Likewise.
    """

    conditions: tuple[str, ...]
    counts: pd.DataFrame
    histograms: pd.DataFrame


def read(plan: RunConfig, fold: int) -> ConditionScores | None:
    """What was kept of a fold; None where there is nothing, or it is not about these weights."""
    known, folder = _cached_conditions(plan, fold), plan.fold_dir(fold) / FOLDER
    if not known:
        return None
    kept = [table[table["condition"].isin(known)] for table in (counts.read(folder), histograms.read(folder))]
    return ConditionScores(known, *kept)


def missing_conditions(plan: RunConfig, fold: int, conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions that a fold has not been evaluated under."""
    known = _cached_conditions(plan, fold)
    return [c for c in conditions if str(c) not in known]


def evaluate(
    plan: RunConfig,
    fold: int,
    kind: str,
    index: int,
    report: Callable[[dict[str, Any]], None],
    conditions: Sequence[Condition],
) -> None:
    """Evaluate a finished fold under the conditions that it lacks.

    Args:
        plan: The run.
        fold: Number of the fold.
        kind: Kind of device.
        index: Which device of that kind.
        report: Told when it is done.
        conditions: Without ``clean``.
    """
    with FileLock(plan.fold_dir(fold) / ".lock"):
        todo = missing_conditions(plan, fold, conditions)
        if todo:
            if kind == "cpu":
                torch.set_num_threads(1)
            _save(plan, fold, _evaluated(plan, fold, todo, kind, index))
    report({"kind": "conditions", "fold": fold, "done": len(todo), "of": len(conditions)})


def _evaluated(plan: RunConfig, fold: int, todo: list[Condition], kind: str, index: int) -> ConditionScores:
    data, roles = plan.load_data(fold)
    fabric = devices.fabric_for(kind, index, plan.precision)
    method = loading.load_method(plan, fold)
    devices.move_to_device(method, fabric)
    means = means_for(todo, data, roles.train, method, fabric.device)
    sharing = MultiConditionPredictor(method, todo, means, fabric.autocast)
    found = predictions(sharing, data, roles.test, plan.seed, fabric.device)
    tables = [
        (
            inference.count_table(each, data, roles.test, fold=fold, condition=condition),
            histograms.of_predictions(
                each, data.labels[roles.test], plan.protocol.aus, condition=str(condition), fold=fold
            ),
        )
        for condition, each in zip(todo, found, strict=True)
    ]
    counted, drawn = zip(*tables, strict=True)
    return ConditionScores(tuple(map(str, todo)), pd.concat(counted), pd.concat(drawn))


def predictions(
    sharing: MultiConditionPredictor, data: ProtocolDataset, rows: Rows, seed: int, device: torch.device
) -> list[inference.Probabilities]:
    """Probabilities (N, A) of some frames, rows ascending, under each condition of ``sharing``.

    Args:
        sharing: Method and conditions.
        data: Where the frames are.
        rows: Which.
        seed: Of the run; decides the noise.
        device: Where the method is.
    """
    found = np.zeros((len(sharing.conditions), len(rows), len(data.protocol.aus)), np.float32)
    for batch in inference.iter_batches(sharing.method, data, rows, device):
        frames = FrameNoise(seed, data.names(clips.image_rows(batch.rows).ravel()))
        found[:, batch.positions] = sharing.predict_all(batch.images, frames).numpy()[:, batch.valid]
    return list(found)


def means_for(
    conditions: Sequence[Condition], data: ProtocolDataset, rows: Rows, method: Method, device: torch.device
) -> Means | None:
    """The mean centre view of each modality over the training role; None where no condition needs any."""
    from aubench.data.transforms import center_crop

    if all(c.corruption.kind != "mean" for c in conditions):
        return None
    recipe, modalities = method.recipe, method.task.modalities
    spread = rows[np.linspace(0, len(rows) - 1, min(MEAN_FRAMES, len(rows))).astype(np.int64)]
    sums: dict[Modality, torch.Tensor] = {}
    for batch in loader.iter_batches(data, modalities, loader.split_batches(spread, inference.BATCH)):
        for m, view in center_crop(batch.images, recipe.image_size, recipe.crop).items():
            sums[m] = sums.get(m, 0) + view.double().sum(0)
    return {m: (total / len(spread)).float().to(device) for m, total in sums.items()}


def _save(plan: RunConfig, fold: int, new: ConditionScores) -> None:
    folder, old = plan.fold_dir(fold) / FOLDER, read(plan, fold)
    parts = [new] if old is None else [old, new]
    counts.write(pd.concat([part.counts for part in parts]), folder)
    histograms.write(pd.concat([part.histograms for part in parts]), folder)
    known = [condition for part in parts for condition in part.conditions]
    atomic.write_json(folder / HEADER, {**_cache_key(plan, fold), "conditions": known})


def _cached_conditions(plan: RunConfig, fold: int) -> tuple[str, ...]:
    """The conditions that were kept, if of these very weights."""
    try:
        header = json.loads((plan.fold_dir(fold) / FOLDER / HEADER).read_text())
        conditions = header.pop("conditions")
    except (OSError, ValueError, LookupError):
        return ()
    return tuple(conditions) if header == _cache_key(plan, fold) else ()


def _cache_key(plan: RunConfig, fold: int) -> dict[str, Any]:
    weights: Path = plan.fold_dir(fold) / WEIGHTS
    return {
        "version": VERSION,
        "run": plan.run_id,
        "store": plan.store.digest,
        "checkpoint": hashing.hash_file(weights),
    }
