"""Checks of a method's class and of its recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pydantic import ValidationError

from aubench.core import method_hooks
from aubench.core.errors import RecipeError
from aubench.core.method import Method
from aubench.testing.cases import ContractViolation, offered_tasks

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
    supported, recipe = 0, method_hooks.create_recipe(method, "paper", {})
    for task in offered_tasks(recipe.crop):
        if method_hooks.unsupported_reason(method, task, recipe) is not None:
            continue
        supported += 1
        selected = method_hooks.select_modalities(method, task, recipe)
        if method_hooks.unsupported_reason(method, replace(task, modalities=selected), recipe) is not None:
            names = ", ".join(task.modalities)
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


CLASS_CHECKS: dict[str, Callable[[type[Method]], None]] = {
    "hooks have their current names": _hooks_have_current_names,
    "gives reasons for unsupported tasks": _gives_reasons,
    "recipe rejects unknown keys": _rejects_unknown_keys,
}
"""Checks of the class, by name. Each raises :class:`ContractViolation`."""
