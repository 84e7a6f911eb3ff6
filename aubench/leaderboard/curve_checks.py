"""Checks of the learning curves of a record against its ``record.json``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from aubench.leaderboard.records import Finding, StoredRecord
from aubench.results import epochs as epochs_file
from aubench.results import record
from aubench.results.record_info import RecordInfo
from aubench.results.schema import FoldInfo


class _Budget(BaseModel):
    """Fields of a recipe that determine the length of its training."""

    model_config = ConfigDict(strict=True)
    epochs: PositiveInt
    frames_per_epoch: PositiveInt | None = None
    batch_size: PositiveInt
    clip_frames: PositiveInt | None = None
    patience: PositiveInt
    pretrain_epochs: NonNegativeInt = 0
    pretrain_checkpoint: PositiveInt | None = None
    pretrain_frames_per_epoch: PositiveInt | None = None
    pretrain_batch_size: PositiveInt = 1
    pretrain_validation: Annotated[float, Field(ge=0, lt=1)] = 0.0


def check_curves(run: StoredRecord) -> Iterator[Finding]:
    """Check that the learning curves have the epochs of each fold, and that the best epoch was scored."""
    table = run.record.epoch_table
    if table is None:
        return
    curves: dict[int, list[dict[str, Any]]] = {}
    for values in table.rows(list(table.columns)):
        epoch = dict(zip(table.columns, values, strict=True))
        curves.setdefault(epoch["fold"], []).append(epoch)
    folds = {fold.fold: fold for fold in run.info.folds}
    for number in sorted(curves.keys() ^ folds.keys()):
        problem = "is missing" if number in folds else f"is not in {record.FILE}"
        yield run.finding(epochs_file.FILE, f"fold {number} {problem}")
    for number in sorted(curves.keys() & folds.keys()):
        curve, fold = curves[number], folds[number]
        problems = [*_curve_problems(curve, fold), *_selection_problems(run, curve, fold), *_cost_problems(run, curve)]
        if run.info.method.source == "builtin":
            problems += _recipe_problems(run.info, curve, fold)
        problems += _score_problems(curve, run.info.selection)
        for problem in problems[:1]:
            yield run.finding(epochs_file.FILE, f"fold {number}: {problem}")


def _curve_problems(curve: list[dict[str, Any]], fold: FoldInfo) -> Iterator[str]:
    if len(curve) != fold.epochs or [epoch["epoch"] for epoch in curve] != list(range(1, fold.epochs + 1)):
        yield f"epochs are not 1 to {fold.epochs}, as {record.FILE} says"
    kinds = [epoch["pretraining"] for epoch in curve]
    if kinds != sorted(kinds, reverse=True) or all(kinds):
        yield "supervised epochs must follow those of pre-training"
    for kind in sorted(set(kinds)):
        frames = [0, *(epoch["frames"] for epoch in curve if epoch["pretraining"] == kind)]
        if any(before >= after for before, after in pairwise(frames)):
            yield "frames do not increase with each epoch"


def _selection_problems(run: StoredRecord, curve: list[dict[str, Any]], fold: FoldInfo) -> Iterator[str]:
    """Compare the best epoch with the validation scores of the last stage."""
    if run.info.selection == "last":
        return
    f1 = {
        epoch["epoch"]: epoch["f1"]
        for epoch in curve
        if epoch["stage"] == curve[-1]["stage"]
        and (epoch["pretraining"], epoch["selectable"]) == (0, 1)
        and not math.isnan(epoch["f1"])
    }
    if not f1:
        yield "no selectable epoch has a validation F1"
    elif f1.get(fold.best_epoch) != max(f1.values()):
        best = max(f1, key=lambda epoch: f1[epoch])
        yield f"epoch {best} has the highest F1, {record.FILE} says best_epoch {fold.best_epoch}"


def _score_problems(curve: list[dict[str, Any]], selection: str) -> Iterator[str]:
    """Check that each supervised epoch has a validation F1, and that nothing else was validated."""
    for epoch in curve:
        is_validated = not epoch["pretraining"] and selection != "last"
        if is_validated and math.isnan(epoch["f1"]):
            yield f"epoch {epoch['epoch']} has no validation F1"
        elif not is_validated and not (math.isnan(epoch["f1"]) and math.isnan(epoch["acc"])):
            yield f"epoch {epoch['epoch']} has scores, but nothing was validated"


def _recipe_problems(info: RecordInfo, curve: list[dict[str, Any]], fold: FoldInfo) -> Iterator[str]:
    """Compare the epochs, and the frames of each, with the recipe of a built-in method."""
    try:
        budget = _Budget.model_validate(dict(info.recipe))
    except ValidationError as error:
        first = error.errors()[0]
        yield f"recipe.{first['loc'][0]}: {first['msg']}"
        return
    supervised = [epoch["frames"] for epoch in curve if not epoch["pretraining"]]
    yield from _count_problems(len(supervised), budget, fold, info.selection)
    available, drawn, clip = fold.frames.train, budget.frames_per_epoch, budget.clip_frames or 1
    if budget.clip_frames is None:  # clips overlap, so an epoch of all of them can have more frames
        drawn = min(drawn or available, available)
    yield from _frame_problems("an epoch", supervised, drawn, budget.batch_size * clip, available)
    if pretrained := [epoch["frames"] for epoch in curve if epoch["pretraining"]]:
        count = min(budget.pretrain_epochs, budget.pretrain_checkpoint or budget.pretrain_epochs)
        if len(pretrained) != count:
            yield f"has {len(pretrained)} epochs of pre-training, the recipe has {count}"
        is_elsewhere = any(item.store for item in info.pretraining)
        least = 0 if is_elsewhere else math.floor(available * (1 - budget.pretrain_validation))
        size, drawn = budget.pretrain_batch_size * clip, budget.pretrain_frames_per_epoch
        yield from _frame_problems("an epoch of pre-training", pretrained, drawn, size, least)


def _count_problems(count: int, budget: _Budget, fold: FoldInfo, selection: str) -> Iterator[str]:
    """Compare the number of supervised epochs with the recipe, whose patience may end training early."""
    waited = 0 if selection == "last" else fold.epochs - fold.best_epoch
    if count > budget.epochs or (count < budget.epochs and waited < budget.patience):
        yield f"has {count} supervised epochs, recipe.epochs is {budget.epochs}"
    elif waited > budget.patience:
        yield f"has {waited} epochs after the best one, recipe.patience is {budget.patience}"


def _frame_problems(what: str, frames: list[int], drawn: int | None, size: int, available: int) -> Iterator[str]:
    """Compare the frames of each epoch with those that the recipe draws, up to a batch of ``size`` frames.

    They are not compared where the recipe draws all, or more than the ``available`` frames.
    """
    if drawn is None or available < drawn:
        return
    odd = [after - before for before, after in pairwise([0, *frames]) if abs(after - before - drawn) >= size]
    if odd:
        yield f"{what} has {odd[0]:,} frames, the recipe draws {drawn:,}"


def _cost_problems(run: StoredRecord, curve: list[dict[str, Any]]) -> Iterator[str]:
    """Compare the frames of pre-training with those in the record's ledger."""
    items = [item for item in run.info.pretraining if item.fold == curve[0]["fold"]]
    stated = [item.frames for item in items if item.frames is not None]
    frames = max(epoch["frames"] * epoch["pretraining"] for epoch in curve)
    if stated and sum(stated) != frames:
        yield f"pre-training has {frames:,} frames, {record.FILE} says {sum(stated):,}"
