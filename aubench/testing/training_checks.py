"""Checks of how a method trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import torch
from pydantic import ValidationError
from torch import Tensor

from aubench._util.seeds import seed_everything
from aubench.core.method import Method, Progress, Stage
from aubench.core.state_dict import split_state
from aubench.core.task import Batch
from aubench.evaluation.predictor import Predictor
from aubench.testing.cases import Case, ContractViolation
from aubench.testing.short_training import (
    STEPS,
    stage_batches,
    step_progress,
    train_few_steps,
    train_with_interruptions,
    without_labels,
)

if TYPE_CHECKING:
    from aubench.core.recipe import Recipe


_UNKNOWN_POINT = 9.0
"""Number outside of the image, which a method does not give to an unknown point."""
_Pretrained: TypeAlias = "tuple[list[tuple[Stage, list[float]]], dict[str, Any]]"
"""Plan and weights of a short pre-training."""


def _repeats_training(case: Case) -> None:
    different = _different(_trained(case), _trained(case))
    if different:
        raise ContractViolation(
            f"two trainings of {STEPS} steps with the same seed give different weights: {_shorten(different)}"
        )


def _trained(case: Case) -> dict[str, Any]:
    """Return the weights of a short training with a fixed seed."""
    return train_few_steps(case, case.build(seed=7)).state_dict()


def _resumes_training(case: Case) -> None:
    uninterrupted = _trained(case)
    different = _different(uninterrupted, train_with_interruptions(case, seed=7).state_dict())
    if different and not _different(uninterrupted, _trained(case)):  # otherwise the check above has said so
        what = "a training that was interrupted gives different weights"
        hint = "what it remembers between steps belongs in its state_dict"
        raise ContractViolation(f"{what}: {_shorten(different)}; {hint}")


def _gradients_reach_all(case: Case) -> None:
    method = case.build()
    trainable = {name for name, parameter in method.named_parameters() if parameter.requires_grad}
    reached: set[str] = set()

    def check_gradients() -> None:
        _require_finite_gradients(method)
        for name, parameter in method.named_parameters():
            if parameter.grad is not None and parameter.grad.any():
                reached.add(name)

    train_few_steps(case, method, check_gradients)
    if missing_names := sorted(trainable - reached):
        raise ContractViolation(f"no gradient reaches {_shorten(missing_names)}")


_PROGRESSES = (
    *(Progress(epoch, 2, step, 2) for epoch in (0, 1) for step in (0, 1)),
    *(Progress(epoch, 100, 0, 2) for epoch in (1, 2, 5, 10, 20, 50, 80, 99)),
    *(Progress(0, 100, step, 1000) for step in (1, 10, 100, 999)),
)
"""Steps of a short and of a long stage, between which schedules of epochs, steps and shares of a stage change."""


def _loss_depends_on_constants(case: Case) -> None:
    method = case.build()
    for stage, batch in stage_batches(case, method):
        groups: dict[Any, list[Progress]] = {}
        for progress in (*_PROGRESSES, Progress(stage.epochs - 1, stage.epochs, 0, 2)):
            constants = method.loss_constants(stage, progress)
            if constants is None:
                return
            groups.setdefault(constants, []).append(progress)
        for constants, steps in groups.items():
            totals: list[Tensor] = []
            for seed, progress in enumerate(steps if len(steps) > 1 else ()):
                seed_everything(seed)  # the loss may not depend on the generators of Python and NumPy
                torch.manual_seed(0)
                totals.append(method.loss(batch, stage, progress)["total"].detach())
                if not torch.equal(totals[0], totals[-1]):
                    raise ContractViolation(
                        f"the loss of stage '{stage.name}' differs between steps with equal loss_constants, "
                        f"{constants!r}: epoch {progress.epoch + 1} of {progress.epochs}, step {progress.step + 1}"
                    )


def _uses_each_modality(case: Case) -> None:
    """Compare losses, or if these are equal, weights and predictions after a short training with other images."""
    losses = _first_losses(case)
    for modality in case.task.modalities:
        other = replace(case, changed=modality)
        if _first_losses(other) != losses:
            continue
        first, second = (train_few_steps(c, c.build(seed=5)) for c in (case, other))
        predictor = Predictor(first)
        is_equal = torch.equal(*(predictor.probabilities(c.images()) for c in (case, other)))
        if is_equal and not _different(first.state_dict(), second.state_dict()):
            hint = "select_modalities returns those that are used"
            raise ContractViolation(f"neither weights nor probabilities depend on {modality}; {hint}")


def _first_losses(case: Case) -> list[float]:
    """Return the first loss of each stage."""
    method, losses = case.build(seed=5), []
    for stage, batch in stage_batches(case, method):
        seed_everything(0)
        losses.append(method.loss(batch, stage, step_progress(stage, 0))["total"].item())
    return losses


def _accepts_unknown_labels(case: Case) -> None:
    method = case.build()
    for stage, batch in stage_batches(case, method):
        total = method.loss(without_labels(batch), stage, Progress(0, stage.epochs, 0, 1))["total"]
        if not torch.isfinite(total):
            raise ContractViolation(f"the loss of stage '{stage.name}' is {total.item()} if no label is known")
        if not total.requires_grad:
            continue
        method.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        _require_finite_gradients(method, " if no label is known")


def _require_finite_gradients(method: Method, circumstance: str = "") -> None:
    for name, parameter in method.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            raise ContractViolation(f"the gradient of '{name}' is not finite{circumstance}")


def _preserves_inputs(case: Case) -> None:
    method = case.build()
    for stage, batch in stage_batches(case, method):
        before = [x.clone() for x in _tensors(batch)]
        augmented = method.augment(batch, torch.Generator().manual_seed(0))
        method.loss(augmented, stage, Progress(0, stage.epochs, 0, 1))
        method.eval()(batch.inputs)
        method.train()
        if not all(map(torch.equal, before, _tensors(batch))):
            raise ContractViolation("changes the images, labels, points or marks of extra clips of its input in place")


def _pretraining_ignores_finetune_fields(case: Case) -> None:
    fields = sorted(case.recipe.finetune_fields())
    pretrained = _pretrained(case)
    if affected := _pretraining_effect(case, pretrained, fields):
        causes = [name for name in fields if _pretraining_effect(case, pretrained, [name])]
        raise ContractViolation(f"{affected} on {_shorten(causes or fields)}")


def _pretraining_effect(case: Case, pretrained: _Pretrained, names: list[str]) -> str | None:
    """Return what changes in pre-training if fields have other values, or None."""
    (plan, weights), update = pretrained, {name: _another(case.recipe, name) for name in names}
    other_plan, others = _pretrained(replace(case, recipe=case.recipe.model_copy(update=update)))
    if plan != other_plan:
        return "stages or rates of pre-training depend"
    different = _different(weights, others)
    return f"pre-trained weights ({_shorten(different)}) depend" if different else None


def _pretrained(case: Case) -> _Pretrained:
    """Return the plan and the result of a short pre-training."""
    method = case.build(seed=3)
    return _pretraining_plan(method), train_few_steps(case, method, pretraining=True).state_dict()


def _pretraining_plan(method: Method) -> list[tuple[Stage, list[float]]]:
    """Return the stages of pre-training, without the patience that they ignore, and factors of their learning rates."""
    return [
        (
            replace(stage, patience=1),
            [method.learning_rate_factor(stage, step_progress(stage, i)) for i in range(STEPS)],
        )
        for stage in method.stages()
        if stage.pretraining
    ]


def _different(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """List the names of the values in which two state dicts differ."""
    (tensors, plain), (others, other_plain) = split_state(first), split_state(second)
    different = [name for name in tensors if name not in others or not torch.equal(tensors[name], others[name])]
    return different + [name for name in plain if plain[name] != other_plain.get(name)]


def _another(recipe: Recipe, name: str) -> Any:
    """Return a different valid value of a field, or its value if none is known."""
    value, kind = getattr(recipe, name), type(recipe)
    candidates = [*get_args(kind.model_fields[name].annotation), not value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        candidates += [value / 2, value + 1, value + 0.5]
    for candidate in (*candidates, 1, 0.5):
        with suppress(ValidationError):
            other = getattr(kind.model_validate({**recipe.model_dump(), name: candidate}), name)
            if other != value:
                return other
    return value


def _tensors(batch: Batch) -> list[Tensor]:
    """Return the tensors of a batch for comparisons, with a number in place of NaN, which is equal to nothing."""
    points = [] if batch.landmarks is None else [batch.landmarks.nan_to_num(nan=_UNKNOWN_POINT)]
    is_extra = [] if batch.is_extra is None else [batch.is_extra]
    return [*batch.inputs.values(), batch.labels, *points, *is_extra]


def _shorten(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


TRAINING_CHECKS: dict[str, Callable[[Case], None]] = {
    "same seed, same training": _repeats_training,
    "interrupted training, same training": _resumes_training,
    "gradients reach every parameter": _gradients_reach_all,
    "loss depends on its constants only": _loss_depends_on_constants,
    "uses each of its modalities": _uses_each_modality,
    "accepts unknown labels": _accepts_unknown_labels,
    "preserves its inputs": _preserves_inputs,
    "pre-training ignores fine-tuning fields": _pretraining_ignores_finetune_fields,
}
"""Checks of training on a task, by name. Each raises :class:`ContractViolation`."""
