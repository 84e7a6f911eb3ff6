"""Evaluation of a finished fold under test conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from aubench._util import locks
from aubench.core.conditions import Condition
from aubench.core.method import Method
from aubench.core.task import Modality
from aubench.data import clips, loader
from aubench.data.splits import ProtocolDataset, Rows
from aubench.data.transforms import center_crop
from aubench.evaluation import inference
from aubench.evaluation.corruptions import FrameNoise, Means
from aubench.evaluation.multi_condition import MultiConditionPredictor
from aubench.runs import condition_scores, devices, loading
from aubench.runs.condition_scores import ConditionScores
from aubench.runs.config import RunConfig
from aubench.runs.events import ConditionsEvaluated, Event

MEAN_FRAMES = 2000
"""Maximum number of training frames, evenly spread, for a mean image."""


def evaluate_fold(
    config: RunConfig,
    fold: int,
    kind: str,
    index: int,
    report: Callable[[Event], None],
    conditions: Sequence[Condition],
) -> None:
    """Evaluate a finished fold under the conditions that it lacks.

    Args:
        config: The run.
        fold: Number of the fold.
        kind: Kind of device.
        index: Index of the device among those of its kind.
        report: Callback for the event at the end.
        conditions: Conditions without ``clean``.
    """
    with locks.exclusive(config.fold_dir(fold) / ".lock"):
        scores = condition_scores.read(config, fold)
        missing = condition_scores.conditions_beyond(scores, conditions)
        if missing:
            if kind == "cpu":
                torch.set_num_threads(1)
            condition_scores.save(config, fold, scores, _evaluate(config, fold, missing, kind, index))
    report(ConditionsEvaluated(len(missing)))


def _evaluate(config: RunConfig, fold: int, conditions: list[Condition], kind: str, index: int) -> ConditionScores:
    data, split = config.load_data(fold)
    fabric = devices.fabric_for(kind, index, config.precision)
    method = loading.load_method(config, fold)
    devices.move_to_device(method, fabric)
    means = mean_images(conditions, data, split.train, method, fabric.device)
    predictor = MultiConditionPredictor(method, conditions, means, fabric.autocast)
    predictions = predict(predictor, data, split.test, config.seed, fabric.device)
    tables = [
        inference.score_tables(probs, data, split.test, fold=fold, condition=condition)
        for condition, probs in zip(conditions, predictions, strict=True)
    ]
    count_tables, histogram_tables = zip(*tables, strict=True)
    names = tuple(map(str, conditions))
    corruptions = condition_scores.plugin_digests(names)
    return ConditionScores(names, pd.concat(count_tables), pd.concat(histogram_tables), corruptions)


def predict(
    predictor: MultiConditionPredictor, data: ProtocolDataset, rows: Rows, seed: int, device: torch.device
) -> list[inference.Probabilities]:
    """Predict probabilities (N, A) of frames under each condition of a predictor.

    Args:
        predictor: Method and conditions.
        data: Data set with the frames.
        rows: Rows of the frames, ascending (N).
        seed: Seed of the run, from which the noise is derived.
        device: Device of the method.
    """
    probs = np.zeros((len(predictor.conditions), len(rows), len(data.protocol.aus)), np.float32)
    for batch in inference.iter_batches(predictor.method, data, rows, device):
        noise = FrameNoise(seed, data.names(clips.image_rows(batch.rows).ravel()))
        probs[:, batch.positions] = predictor.predict_all(batch.images, noise).numpy()[:, batch.valid]
    return list(probs)


def mean_images(
    conditions: Sequence[Condition], data: ProtocolDataset, rows: Rows, method: Method, device: torch.device
) -> Means | None:
    """Compute the mean centre crop of each modality over training frames; None if no condition needs it."""
    if all(condition.corruption.kind != "mean" for condition in conditions):
        return None
    recipe, modalities = method.recipe, method.task.modalities
    spread = rows[np.linspace(0, len(rows) - 1, min(MEAN_FRAMES, len(rows))).astype(np.int64)]
    sums: dict[Modality, torch.Tensor] = {}
    for batch in loader.iter_batches(data, modalities, loader.split_batches(spread, inference.BATCH)):
        for modality, view in center_crop(batch.images, recipe.image_size, recipe.crop).items():
            sums[modality] = sums.get(modality, 0) + view.double().sum(0)
    return {modality: (total / len(spread)).float().to(device) for modality, total in sums.items()}
