"""Checks of a method's contract, on random images and all supported sets of modalities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from aubench.core import method_hooks
from aubench.core.errors import AubenchError
from aubench.core.hook_errors import failed_line
from aubench.core.task import Modality
from aubench.results.method_fields import require_recordable
from aubench.testing.cases import Case, ContractViolation, supported_cases
from aubench.testing.class_checks import CLASS_CHECKS
from aubench.testing.prediction_checks import PREDICTION_CHECKS
from aubench.testing.training_checks import TRAINING_CHECKS

if TYPE_CHECKING:
    from aubench.core.method import Method
    from aubench.core.recipe import Recipe
    from aubench.core.registry import MethodEntry


RECORDABLE = "name, title and sources of weights fit into a record"
"""Name of the check of what a record says of the method."""
SUPPORTED = "supports a set of modalities with the preset"
"""Name of the check without which those of instances would have nothing to check."""
INSTANCE_CHECKS = PREDICTION_CHECKS | TRAINING_CHECKS
"""Checks of an instance on each supported task, by name."""
CHECKS = (*CLASS_CHECKS, RECORDABLE, SUPPORTED, *INSTANCE_CHECKS)
"""Names of all checks, in order."""


@dataclass(frozen=True)
class Result:
    """The outcome of a check.

    Attributes:
        name: Name of the check.
        passed: Whether the method satisfies it.
        detail: Description of the breach, empty if passed.
    """

    name: str
    passed: bool
    detail: str = ""


def check_method(entry: MethodEntry, preset: str = "tiny") -> list[Result]:
    """Run all checks on a method with a preset of its recipe.

    Returns:
        One result per check, in order. If a check of the class fails, or the method supports no set of modalities with
        the preset, the checks of instances are omitted.

    Raises:
        RecipeError: The recipe has no such preset.
    """
    method = entry.method_class
    results = [_result(name, partial(check, method)) for name, check in CLASS_CHECKS.items()]
    if not all(result.passed for result in results):
        return results
    recipe = entry.create_recipe(preset, {})
    results.append(_result(RECORDABLE, partial(_require_recordable, entry, recipe)))
    cases = [Case(method, task, recipe) for task in dict.fromkeys(supported_cases(method, recipe))]
    results.append(_result(SUPPORTED, partial(_require_cases, cases, preset)))
    if not cases:
        return results
    return results + [_result(name, partial(_on_all_cases, check, cases)) for name, check in INSTANCE_CHECKS.items()]


def _require_recordable(entry: MethodEntry, recipe: Recipe) -> None:
    card = entry.method_class.card
    fields = {
        "name": entry.name,
        "title": card.title,
        "fidelity": str(card.fidelity),
        "modalities": list(Modality),
        "source": entry.source,
    }
    require_recordable(fields, method_hooks.pretraining_sources(recipe), entry.name)


def _require_cases(cases: list[Case], preset: str) -> None:
    if not cases:
        raise ContractViolation(f"supports no set of modalities with the preset {preset}; name another one")


def _result(name: str, check: Callable[[], None]) -> Result:
    try:
        check()
    except (ContractViolation, AubenchError) as breach:
        return Result(name, False, str(breach))
    except Exception as error:  # third-party code may raise any exception
        return Result(name, False, f"{type(error).__name__}: {error}")
    return Result(name, True)


def _on_all_cases(check: Callable[[Case], None], cases: list[Case]) -> None:
    for case in cases:
        try:
            check(case)
        except Exception as error:
            raise ContractViolation(f"on {case}: {_describe(error, case.method)}") from error


def _describe(error: Exception, method: type[Method]) -> str:
    """Return the text of an error, for unexpected ones with their type and the line of the method's file."""
    if isinstance(error, ContractViolation | AubenchError):
        return str(error)
    line = failed_line(method, error)
    return f"{type(error).__name__}: {error}" + ("" if line is None else f" (line {line} of the method's file)")
