"""The clauses of a method's contract, each a function that raises :class:`Breach` where it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor

from aubench.core.conditions import CLEAN, missing
from aubench.core.errors import RecipeError
from aubench.core.method import BranchedMethod, Method, Progress, Stage
from aubench.core.task import Batch
from aubench.evaluation import flops
from aubench.evaluation.predictor import Predictor
from aubench.testing.cases import FRAMES, Case, offered_tasks

if TYPE_CHECKING:
    from aubench.core.recipe import Recipe

STEPS = 3
"""Training steps after which every parameter must have met a gradient; the first may leave out some that begin at 0."""
TOLERANCE = 1e-4
"""Of probabilities, where a batch of another size may be computed in another order."""


RENAMED_METHOD_HOOKS = {
    "refuses": "unsupported_reason",
    "uses": "select_modalities",
    "meet": "on_train_labels",
    "spans": "extra_clip_spans",
    "wants_landmarks": "needs_landmarks",
    "picked": "modality_selection",
    "pair_knowledge": "pair_statistics",
}
"""Earlier names of hooks of ``Method``, which the harness no longer calls."""
RENAMED_RECIPE_HOOKS = {
    "seen": "pretraining_sources",
    "after_pretraining": "finetune_only",
    "later": "finetune_fields",
}
"""Earlier names of hooks of ``Recipe``."""


class ContractViolation(Exception):
    """A breach of the contract by a method."""


def _hooks_have_current_names(method: type[Method]) -> None:
    renamed = [
        f"{owner}.{old} is now {new}"
        for owner, cls, names in (
            ("Method", method, RENAMED_METHOD_HOOKS),
            ("Recipe", method.Recipe, RENAMED_RECIPE_HOOKS),
        )
        for old, new in names.items()
        if hasattr(cls, old)
    ]
    if renamed:
        raise ContractViolation(f"rename hooks that the harness does not call: {', '.join(renamed)}")


def _refuses_with_reason(method: type[Method]) -> None:
    accepted, recipe = 0, method.Recipe.from_preset("paper", {})
    for task in offered_tasks(recipe.crop):
        reason = method.unsupported_reason(task, recipe)
        names = ", ".join(task.modalities)
        if reason is not None and not (isinstance(reason, str) and reason.strip()):
            raise ContractViolation(f"refuses({names}) gave {reason!r} instead of None or a reason")
        if reason is not None:
            continue
        accepted += 1
        used = method.select_modalities(task, recipe)
        if not used or used != tuple(m for m in task.modalities if m in used):
            raise ContractViolation(f"uses({names}) gave {used!r}, which is no choice out of it in its order")
        if method.unsupported_reason(replace(task, modalities=used), recipe) is not None:
            raise ContractViolation(f"refuses what it chose out of {names}: {', '.join(used)}")
    if not accepted:
        raise ContractViolation("accepts no set of modalities")


def _recipe_is_closed(method: type[Method]) -> None:
    recipe = method.Recipe
    for name in recipe.all_presets():
        recipe.from_preset(name, {})
    unknown = {"no_such_key": 1}
    for make in (partial(recipe.from_preset, "paper", unknown), partial(recipe.model_validate, unknown)):
        try:
            make()
        except (RecipeError, ValidationError):
            continue
        raise ContractViolation("the recipe takes a key that it does not have")


def _gives_probabilities(case: Case) -> None:
    images = case.images()
    sealed = Predictor(case.build())
    sealed.probabilities(images)
    sealed.probabilities({m: x[:1] for m, x in images.items()})


def _survives_missing(case: Case) -> None:
    sealed = Predictor(case.build())
    for modality in case.task.modalities:
        sealed.probabilities(case.images(), missing((modality,)))


def _ignores_neighbours(case: Case) -> None:
    images = case.images()
    sealed = Predictor(_train(case, case.build()))
    together = sealed.probabilities(images)
    alone = torch.cat([sealed.probabilities({m: x[i : i + 1] for m, x in images.items()}) for i in range(FRAMES)])
    backwards = sealed.probabilities({m: x.flip(0) for m, x in images.items()}).flip(0)
    for other, when in ((alone, "alone"), (backwards, "in another order")):
        if (difference := (together - other).abs().max().item()) > TOLERANCE:
            raise ContractViolation(f"probabilities of a frame differ by {difference:.2g} when it comes {when}")


def _repeats_prediction(case: Case) -> None:
    sealed = Predictor(case.build())
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(sealed.probabilities(case.images()))
    if not torch.equal(*found):
        raise ContractViolation("the same frames get other probabilities the second time")


def _repeats_training(case: Case) -> None:
    first, second = (_train(case, case.build(seed=7)).state_dict() for _ in range(2))
    different = [name for name, value in first.items() if not torch.equal(value, second[name])]
    if different:
        raise ContractViolation(f"the same seed gives other weights after {STEPS} steps: {_listed(different)}")


def _gradients_reach_all(case: Case) -> None:
    method = case.build()
    wanted = {name for name, parameter in method.named_parameters() if parameter.requires_grad}
    reached: set[str] = set()

    def look() -> None:
        for name, parameter in method.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise ContractViolation(f"the gradient of '{name}' is not finite")
            if parameter.grad is not None and parameter.grad.any():
                reached.add(name)

    _train(case, method, look)
    if missed := sorted(wanted - reached):
        raise ContractViolation(f"no gradient reaches {_listed(missed)}")


def _bears_unknown_labels(case: Case) -> None:
    method = case.build()
    for stage, batch in _with_train_labels(case, method):
        total = method.loss(_without_labels(batch), stage, Progress(0, stage.epochs, 0, 1))["total"]
        if not torch.isfinite(total):
            raise ContractViolation(f"the loss of stage '{stage.name}' is {total.item()} where no label is known")


def _leaves_inputs_alone(case: Case) -> None:
    method = case.build()
    for stage, batch in _with_train_labels(case, method):
        before = [x.clone() for x in _tensors(batch)]
        augmented = method.augment(batch, torch.Generator().manual_seed(0))
        method.loss(augmented, stage, Progress(0, stage.epochs, 0, 1))
        method.eval()(batch.inputs)
        method.train()
        if not all(map(torch.equal, before, _tensors(batch))):
            raise ContractViolation("writes to the images, labels or points that it is given")


def _pretrains_alike(case: Case) -> None:
    later = case.recipe.finetune_fields()
    other = replace(case, recipe=case.recipe.model_copy(update={name: _another(case.recipe, name) for name in later}))
    first, second = (_train(c, c.build(seed=3), pretraining=True).state_dict() for c in (case, other))
    if different := [name for name, value in first.items() if not torch.equal(value, second[name])]:
        raise ContractViolation(
            f"pre-training is not the same where only {_listed(sorted(later))} differ: {_listed(different)}"
        )


def _another(recipe: Recipe, name: str) -> Any:
    """A value of a field other than the one it has, as far as one can tell from its type."""
    value, options = getattr(recipe, name), get_args(type(recipe).model_fields[name].annotation)
    if isinstance(value, str):
        return next((option for option in options if option != value), value)
    if isinstance(value, bool):
        return not value
    return value / 2 if isinstance(value, float) else 1 if value is None else value + 1


def _survives_saving(case: Case) -> None:
    method = _train(case, case.build(seed=1))
    kept = load(save({name: value.contiguous() for name, value in method.state_dict().items()}))
    other = case.build(seed=2)
    other.load_state_dict(kept)
    if not torch.equal(*(Predictor(m).probabilities(case.images(), CLEAN) for m in (method, other))):
        raise ContractViolation("predicts otherwise after its state was saved and loaded")


def _flops_can_be_counted(case: Case) -> None:
    flops.count_flops(case.method, case.task, case.recipe)


def _branches_agree(case: Case) -> None:
    method = case.build().eval()
    if not isinstance(method, BranchedMethod):
        return
    inputs = case.batch().inputs
    with torch.inference_mode():
        apart = method.fuse({m: method.encode(m, inputs[m]) for m in case.task.modalities})
        if not torch.equal(apart, method(inputs)):
            raise ContractViolation("forward is not fuse of encode")


def _train(case: Case, method: Method, look: Callable[[], None] = lambda: None, *, pretraining: bool = False) -> Method:
    """The method after a few steps of each stage, or of pre-training; ``look`` is called after each backward pass."""
    method.train()
    for stage, batch in _with_train_labels(case, method):
        if pretraining and not stage.pretraining:
            break
        optimizer = method.optimizer(stage)
        for step in range(STEPS):
            torch.manual_seed(step)
            augmented = method.augment(batch, torch.Generator().manual_seed(step))
            terms = method.loss(augmented, stage, Progress(0, stage.epochs, step, STEPS))
            if "total" not in terms or terms["total"].numel() != 1:
                raise ContractViolation(f"the loss of stage '{stage.name}' has no single number called 'total'")
            terms["total"].backward()  # type: ignore[no-untyped-call]
            look()
            optimizer.step()
            optimizer.zero_grad()
    return method


def _with_train_labels(case: Case, method: Method) -> Iterator[tuple[Stage, Batch]]:
    """Each stage with a batch as the harness gives it; supervised ones after the method has met the labels."""
    batch = case.batch()
    for stage in method.stages():
        if not stage.pretraining:
            method.on_train_labels([batch.labels] if case.recipe.clip_length is None else list(batch.labels))
        yield stage, _without_labels(batch) if stage.pretraining else batch


def _tensors(batch: Batch) -> list[Tensor]:
    points = [] if batch.landmarks is None else [batch.landmarks.nan_to_num()]
    return [*batch.inputs.values(), batch.labels, *points]


def _without_labels(batch: Batch) -> Batch:
    return replace(batch, labels=torch.full_like(batch.labels, -1))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


CLASS_CHECKS: dict[str, Callable[[type[Method]], None]] = {
    "hooks have their current names": _hooks_have_current_names,
    "refuses with a reason": _refuses_with_reason,
    "recipe rejects unknown keys": _recipe_is_closed,
}
"""Clauses about the class, by name."""

INSTANCE_CHECKS: dict[str, Callable[[Case], None]] = {
    "gives probabilities": _gives_probabilities,
    "survives each modality missing": _survives_missing,
    "ignores batch neighbours": _ignores_neighbours,
    "same frames, same prediction": _repeats_prediction,
    "same seed, same training": _repeats_training,
    "gradients reach every parameter": _gradients_reach_all,
    "bears unknown labels": _bears_unknown_labels,
    "leaves its inputs alone": _leaves_inputs_alone,
    "survives saving and loading": _survives_saving,
    "FLOPs can be counted": _flops_can_be_counted,
    "branches agree with the whole": _branches_agree,
    "pre-training ignores what comes later": _pretrains_alike,
}
"""Clauses about the method on each task that it accepts, by name."""
