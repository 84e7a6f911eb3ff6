"""Calls of a method's class hooks. A faulty hook ends in one line that names the hook and the line of code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aubench.core.errors import MethodError
from aubench.core.hook_errors import convert_errors
from aubench.core.recipe import PretrainingSource
from aubench.core.task import Modality

if TYPE_CHECKING:
    from aubench.core.method import Method
    from aubench.core.recipe import Recipe
    from aubench.core.task import Task


def create_recipe(method: type[Method], preset: str, changes: Mapping[str, Any]) -> Recipe:
    """Create the recipe of a preset, see :meth:`~aubench.core.recipe.Recipe.from_preset`.

    Raises:
        RecipeError: No such preset or field, or an invalid value.
        MethodError: The class of the recipe is faulty.
    """
    with convert_errors(method.Recipe, f"{method.__name__}.Recipe", MethodError):
        return method.Recipe.from_preset(preset, changes)


def unsupported_reason(method: type[Method], task: Task, recipe: Recipe) -> str | None:
    """Return the reason why a method does not support a task, or None if it does.

    Raises:
        MethodError: The hook fails, or returns something else.
    """
    hook = f"{method.__name__}.unsupported_reason"
    with convert_errors(method, hook, MethodError):
        reason: object = method.unsupported_reason(task, recipe)
    if reason is None or (isinstance(reason, str) and reason.strip()):
        return reason
    raise MethodError(f"returns {reason!r} for {_names(task)}, expected None or a text", where=hook)


def select_modalities(method: type[Method], task: Task, recipe: Recipe) -> tuple[Modality, ...]:
    """Return the subset of a task's modalities that a method uses, in the task's order.

    Raises:
        MethodError: The hook fails, or returns something else.
    """
    hook = f"{method.__name__}.select_modalities"
    with convert_errors(method, hook, MethodError):
        selected: object = method.select_modalities(task, recipe)
    if isinstance(selected, tuple | list):
        subset = tuple(modality for modality in task.modalities if modality in selected)
        if subset and subset == tuple(selected):
            return subset
    raise MethodError(f"returns {selected!r} for {_names(task)}, expected a subset in this order", where=hook)


def pretraining_sources(recipe: Recipe) -> tuple[PretrainingSource, ...]:
    """Return the sources of the initial weights of a recipe.

    Raises:
        MethodError: The hook fails, or returns something else.
    """
    hook = f"{type(recipe).__qualname__}.pretraining_sources"
    with convert_errors(type(recipe), hook, MethodError):
        sources: object = recipe.pretraining_sources()
    if isinstance(sources, tuple | list) and all(map(_is_source, sources)):
        return tuple(sources)
    what = f"returns {sources!r}, expected a tuple of PretrainingSource, each with a tuple of data sets"
    raise MethodError(what, where=hook)


def _is_source(value: object) -> bool:
    return isinstance(value, PretrainingSource) and isinstance(value.datasets, tuple | list)


def _names(task: Task) -> str:
    return ", ".join(task.modalities)
