"""Checks of a method's contract. Each is a function that raises :class:`ContractViolation`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor

from aubench._util.seeds import seed_everything
from aubench.core.conditions import CLEAN, missing
from aubench.core.errors import RecipeError
from aubench.core.method import BranchedMethod, Method, Progress, Stage
from aubench.core.state_dict import join_state, split_state
from aubench.core.task import Batch
from aubench.evaluation import flops
from aubench.evaluation.predictor import Predictor
from aubench.testing.cases import FRAMES, Case, offered_tasks

if TYPE_CHECKING:
    from aubench.core.recipe import Recipe

STEPS = 3
"""Training steps in which every parameter must receive a gradient. Zero initial values may block it in the first."""
TOLERANCE = 1e-4
"""Tolerance of probabilities, since the order of operations may depend on the batch size."""


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


def _gives_reasons(method: type[Method]) -> None:
    supported, recipe = 0, method.Recipe.from_preset("paper", {})
    for task in offered_tasks(recipe.crop):
        reason = method.unsupported_reason(task, recipe)
        names = ", ".join(task.modalities)
        if reason is not None and not (isinstance(reason, str) and reason.strip()):
            raise ContractViolation(f"unsupported_reason({names}) returns {reason!r}, expected None or a text")
        if reason is not None:
            continue
        supported += 1
        selected = method.select_modalities(task, recipe)
        if not selected or selected != tuple(m for m in task.modalities if m in selected):
            raise ContractViolation(f"select_modalities({names}) returns {selected!r}, expected a subset in this order")
        if method.unsupported_reason(replace(task, modalities=selected), recipe) is not None:
            raise ContractViolation(
                f"does not support the modalities that it selects from {names}: {', '.join(selected)}"
            )
    if not supported:
        raise ContractViolation("supports no set of modalities")


def _rejects_unknown_keys(method: type[Method]) -> None:
    recipe = method.Recipe
    for name in recipe.all_presets():
        recipe.from_preset(name, {})
    unknown = {"no_such_key": 1}
    for create in (partial(recipe.from_preset, "paper", unknown), partial(recipe.model_validate, unknown)):
        try:
            create()
        except (RecipeError, ValidationError):
            continue
        raise ContractViolation("the recipe accepts an unknown key")


def _gives_probabilities(case: Case) -> None:
    images = case.images()
    predictor = Predictor(case.build())
    predictor.probabilities(images)
    predictor.probabilities({m: x[:1] for m, x in images.items()})


def _survives_missing(case: Case) -> None:
    predictor = Predictor(case.build())
    for modality in case.task.modalities:
        predictor.probabilities(case.images(), missing((modality,)))


def _ignores_neighbours(case: Case) -> None:
    images = case.images()
    predictor = Predictor(_train(case, case.build()))
    together = predictor.probabilities(images)
    alone = torch.cat([predictor.probabilities({m: x[i : i + 1] for m, x in images.items()}) for i in range(FRAMES)])
    backwards = predictor.probabilities({m: x.flip(0) for m, x in images.items()}).flip(0)
    for other, when in ((alone, "alone in the batch"), (backwards, "in a reversed batch")):
        if (difference := (together - other).abs().max().item()) > TOLERANCE:
            raise ContractViolation(f"probabilities of a frame differ by {difference:.2g} when it is {when}")


def _repeats_prediction(case: Case) -> None:
    predictor = Predictor(case.build())
    predictions = []
    for seed in (1, 2):
        seed_everything(seed)
        predictions.append(predictor.probabilities(case.images()))
    if not torch.equal(*predictions):
        raise ContractViolation("a second prediction for the same frames differs from the first")


def _repeats_training(case: Case) -> None:
    first, second = (_train(case, case.build(seed=7)).state_dict() for _ in range(2))
    different = _different(first, second)
    if different:
        raise ContractViolation(
            f"two trainings of {STEPS} steps with the same seed give different weights: {_shorten(different)}"
        )


def _gradients_reach_all(case: Case) -> None:
    method = case.build()
    trainable = {name for name, parameter in method.named_parameters() if parameter.requires_grad}
    reached: set[str] = set()

    def check_gradients() -> None:
        _require_finite_gradients(method)
        for name, parameter in method.named_parameters():
            if parameter.grad is not None and parameter.grad.any():
                reached.add(name)

    _train(case, method, check_gradients)
    if missing_names := sorted(trainable - reached):
        raise ContractViolation(f"no gradient reaches {_shorten(missing_names)}")


def _loss_depends_on_constants(case: Case) -> None:
    method = case.build()
    for stage, batch in _with_train_labels(case, method):
        seen: dict[Any, Tensor] = {}
        for seed, (epoch, step) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            progress = Progress(epoch, 2, step, 2)
            constants = method.loss_constants(stage, progress)
            if constants is None:
                return
            seed_everything(seed)  # the loss may not depend on the generators of Python and NumPy
            torch.manual_seed(0)
            total = method.loss(batch, stage, progress)["total"].detach()
            if not torch.equal(seen.setdefault(constants, total), total):
                raise ContractViolation(
                    f"the loss of stage '{stage.name}' differs between steps with equal loss_constants, {constants!r}"
                )


def _uses_each_modality(case: Case) -> None:
    """Compare losses, or if these are equal, weights and predictions after a short training with other images."""
    losses = _first_losses(case)
    for modality in case.task.modalities:
        other = replace(case, changed=modality)
        if _first_losses(other) != losses:
            continue
        first, second = (_train(c, c.build(seed=5)) for c in (case, other))
        predictor = Predictor(first)
        is_equal = torch.equal(*(predictor.probabilities(c.images()) for c in (case, other)))
        if is_equal and not _different(first.state_dict(), second.state_dict()):
            hint = "select_modalities returns those that are used"
            raise ContractViolation(f"neither weights nor probabilities depend on {modality}; {hint}")


def _first_losses(case: Case) -> list[float]:
    """Return the first loss of each stage."""
    method, losses = case.build(seed=5), []
    for stage, batch in _with_train_labels(case, method):
        seed_everything(0)
        losses.append(method.loss(batch, stage, _progress(stage, 0))["total"].item())
    return losses


def _accepts_unknown_labels(case: Case) -> None:
    method = case.build()
    for stage, batch in _with_train_labels(case, method):
        total = method.loss(_without_labels(batch), stage, Progress(0, stage.epochs, 0, 1))["total"]
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
    for stage, batch in _with_train_labels(case, method):
        before = [x.clone() for x in _tensors(batch)]
        augmented = method.augment(batch, torch.Generator().manual_seed(0))
        method.loss(augmented, stage, Progress(0, stage.epochs, 0, 1))
        method.eval()(batch.inputs)
        method.train()
        if not all(map(torch.equal, before, _tensors(batch))):
            raise ContractViolation("changes the images, labels or points of its input in place")


def _pretraining_ignores_finetune_fields(case: Case) -> None:
    fields = case.recipe.finetune_fields()
    other = replace(case, recipe=case.recipe.model_copy(update={name: _another(case.recipe, name) for name in fields}))
    (plan, first), (other_plan, second) = (_pretrained(c) for c in (case, other))
    if plan != other_plan:
        raise ContractViolation(f"stages or rates of pre-training depend on one of {_shorten(sorted(fields))}")
    if different := _different(first, second):
        raise ContractViolation(
            f"pre-trained weights depend on one of {_shorten(sorted(fields))}: {_shorten(different)}"
        )


def _pretrained(case: Case) -> tuple[list[tuple[Stage, list[float]]], dict[str, Any]]:
    """Return the plan and the result of a short pre-training."""
    method = case.build(seed=3)
    return _pretraining_plan(method), _train(case, method, pretraining=True).state_dict()


def _pretraining_plan(method: Method) -> list[tuple[Stage, list[float]]]:
    """Return the stages of pre-training, without the patience that they ignore, and factors of their learning rates."""
    return [
        (replace(stage, patience=1), [method.learning_rate_factor(stage, _progress(stage, i)) for i in range(STEPS)])
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


def _survives_saving(case: Case) -> None:
    method = _train(case, case.build(seed=1))
    tensors, plain = split_state(method.state_dict())
    other = case.build(seed=2)
    other.load_state_dict(join_state(load(save(tensors)), plain))
    if not torch.equal(*(Predictor(m).probabilities(case.images(), CLEAN) for m in (method, other))):
        raise ContractViolation("predictions differ after its state is saved and loaded")


def _flops_can_be_counted(case: Case) -> None:
    flops.count_flops(case.method, case.task, case.recipe)


def _forward_is_fusion(case: Case) -> None:
    method = case.build().eval()
    if not isinstance(method, BranchedMethod):
        return
    inputs = case.batch().inputs
    with torch.inference_mode():
        fused = method.fuse({m: method.encode(m, inputs[m]) for m in case.task.modalities})
        if not torch.equal(fused, method(inputs)):
            raise ContractViolation("forward differs from the fusion of the encoded modalities")


def _forward_is_sigmoid_of_logits(case: Case) -> None:
    method, inputs = case.build().eval(), case.batch().inputs
    with torch.inference_mode():
        logits = method.forward_logits(inputs)
        if logits is not None and not torch.allclose(logits.float().sigmoid(), method(inputs).float(), atol=TOLERANCE):
            raise ContractViolation("forward differs from the sigmoid of forward_logits")


def _train(
    case: Case, method: Method, after_backward: Callable[[], None] = lambda: None, *, pretraining: bool = False
) -> Method:
    """Train a method for a few steps of each stage, or of pre-training only, and return it."""
    method.train()
    for stage, batch in _with_train_labels(case, method):
        if pretraining and not stage.pretraining:
            break
        optimizer = method.optimizer(stage)
        for step in range(STEPS):
            seed_everything(step)
            augmented = method.augment(batch, torch.Generator().manual_seed(step))
            terms = method.loss(augmented, stage, _progress(stage, step))
            if "total" not in terms or terms["total"].numel() != 1:
                raise ContractViolation(f"the loss of stage '{stage.name}' has no scalar 'total'")
            terms["total"].backward()  # type: ignore[no-untyped-call]
            after_backward()
            optimizer.step()
            optimizer.zero_grad()
    return method


def _progress(stage: Stage, step: int) -> Progress:
    """Return the progress at a step of a short training that reaches from the first epoch of a stage to the last."""
    return Progress(step * (stage.epochs - 1) // (STEPS - 1), stage.epochs, step, STEPS)


def _with_train_labels(case: Case, method: Method) -> Iterator[tuple[Stage, Batch]]:
    """Yield each stage with a batch. Supervised stages follow a call of ``on_train_labels``."""
    batch = case.batch()
    for stage in method.stages():
        if not stage.pretraining:
            method.on_train_labels([batch.labels] if case.recipe.clip_length is None else list(batch.labels))
        yield stage, _without_labels(batch) if stage.pretraining else batch


def _tensors(batch: Batch) -> list[Tensor]:
    points = [] if batch.landmarks is None else [batch.landmarks.nan_to_num()]
    return [*batch.inputs.values(), batch.labels, *points]


def _without_labels(batch: Batch) -> Batch:
    """Return a batch as in pre-training, where no label is known and no clip is extra."""
    is_extra = None if batch.is_extra is None else torch.zeros_like(batch.is_extra)
    return replace(batch, labels=torch.full_like(batch.labels, -1), is_extra=is_extra)


def _shorten(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


CLASS_CHECKS: dict[str, Callable[[type[Method]], None]] = {
    "hooks have their current names": _hooks_have_current_names,
    "gives reasons for unsupported tasks": _gives_reasons,
    "recipe rejects unknown keys": _rejects_unknown_keys,
}
"""Checks of the class, by name."""

INSTANCE_CHECKS: dict[str, Callable[[Case], None]] = {
    "gives probabilities": _gives_probabilities,
    "survives each modality missing": _survives_missing,
    "ignores batch neighbours": _ignores_neighbours,
    "same frames, same prediction": _repeats_prediction,
    "same seed, same training": _repeats_training,
    "gradients reach every parameter": _gradients_reach_all,
    "loss depends on its constants only": _loss_depends_on_constants,
    "uses each of its modalities": _uses_each_modality,
    "accepts unknown labels": _accepts_unknown_labels,
    "preserves its inputs": _preserves_inputs,
    "survives saving and loading": _survives_saving,
    "FLOPs can be counted": _flops_can_be_counted,
    "forward is the fusion of encoded modalities": _forward_is_fusion,
    "forward is the sigmoid of forward_logits": _forward_is_sigmoid_of_logits,
    "pre-training ignores fine-tuning fields": _pretraining_ignores_finetune_fields,
}
"""Checks of an instance on each supported task, by name."""
