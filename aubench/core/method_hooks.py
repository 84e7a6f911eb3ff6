"""Calls of a method's hooks. A faulty hook ends in one line that names the hook and the line of code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, SupportsFloat

from aubench.core.errors import MethodError
from aubench.core.hook_errors import convert_errors
from aubench.core.recipe import PretrainingSource
from aubench.core.task import Modality

if TYPE_CHECKING:
    from aubench.core.method import Method
    from aubench.core.recipe import Recipe
    from aubench.core.task import Task

_CONTRACT = "see docs/add-a-method.md"


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


def require_stages(method: Method) -> None:
    """Check the stages of a method's training.

    Raises:
        MethodError: The hook fails, or returns stages that cannot be trained.
    """
    from aubench.core.method import Stage

    hook = f"{type(method).__name__}.stages"
    with convert_errors(type(method), hook, MethodError):
        stages: Any = method.stages()
    if not isinstance(stages, tuple | list) or not all(isinstance(stage, Stage) for stage in stages):
        raise MethodError(f"returns {stages!r}, expected a tuple of Stage", where=hook)
    names, is_supervised = [stage.name for stage in stages], [not stage.pretraining for stage in stages]
    if not any(is_supervised):
        raise MethodError("has no supervised stage", where=hook, hint="add those of super().stages()")
    if is_supervised != sorted(is_supervised):
        raise MethodError("has a stage of pre-training after a supervised one", where=hook, hint="move it forward")
    if len(set(names)) < len(names):
        raise MethodError(f"has stages of equal names, {', '.join(names)}", where=hook, hint="rename one")
    for stage in stages:
        counts = {"epochs": stage.epochs, "batch_size": stage.batch_size, "patience": stage.patience}
        counts |= {} if stage.frames_per_epoch is None else {"frames_per_epoch": stage.frames_per_epoch}
        for name, count in counts.items():
            if not isinstance(count, int) or count < 1:
                what = f"has a stage '{stage.name}' with {name}={count!r}"
                raise MethodError(what, where=hook, hint="give 1 or more, or omit the stage")


def call(method: Method, hook: str, kind: type, *arguments: Any) -> Any:
    """Call a hook and return its value.

    Args:
        method: The method.
        hook: Name of the hook.
        kind: Type of its value.
        arguments: Arguments of the hook.

    Raises:
        MethodError: The value has another type.
    """
    value: Any = getattr(method, hook)(*arguments)
    if isinstance(value, kind):
        return value
    expected = "a number" if issubclass(kind, SupportsFloat) else kind.__name__
    raise MethodError(
        f"returns {type(value).__name__}, expected {expected}", where=f"{type(method).__name__}.{hook}", hint=_CONTRACT
    )


def _is_source(value: object) -> bool:
    return isinstance(value, PretrainingSource) and isinstance(value.datasets, tuple | list)


def _names(task: Task) -> str:
    return ", ".join(task.modalities)
