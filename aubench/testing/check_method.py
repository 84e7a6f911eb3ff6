"""The contract of a method, checked on anybody's.

A method is met the way the harness meets it, on random images, in every set of modalities that it
accepts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from aubench.testing.cases import Case, supported_cases
from aubench.testing.checks import CLASS_CHECKS, INSTANCE_CHECKS, ContractViolation

if TYPE_CHECKING:
    from aubench.core.registry import MethodEntry


CHECKS = (*CLASS_CHECKS, *INSTANCE_CHECKS)
"""Names of all checks, in order."""


@dataclass(frozen=True)
class Result:
    """The outcome of a check.

    Attributes:
        name: What was checked.
        passed: Whether it holds.
        detail: What does not; empty where all does.
    """

    name: str
    passed: bool
    detail: str = ""


def check_method(entry: MethodEntry, preset: str = "tiny") -> list[Result]:
    """Run all checks on a method.

    Args:
        entry: The method.
        preset: The preset of its recipe.

    Returns:
        One result a check, in order. Where the class itself breaks its contract, it is not tried on tasks.

    Raises:
        RecipeError: The recipe has no such preset.
    """
    method = entry.method_class
    results = [_result(name, partial(check, method)) for name, check in CLASS_CHECKS.items()]
    if not all(result.passed for result in results):
        return results
    recipe = method.Recipe.from_preset(preset, {})
    cases = [Case(method, task, recipe) for task in dict.fromkeys(supported_cases(method, recipe))]
    return results + [_result(name, partial(_everywhere, check, cases)) for name, check in INSTANCE_CHECKS.items()]


def _result(name: str, check: Callable[[], None]) -> Result:
    try:
        check()
    except ContractViolation as breach:
        return Result(name, False, str(breach))
    except Exception as error:  # a stranger's method may raise anything
        return Result(name, False, f"{type(error).__name__}: {error}")
    return Result(name, True)


def _everywhere(check: Callable[[Case], None], cases: list[Case]) -> None:
    for case in cases:
        try:
            check(case)
        except Exception as error:
            kind = "" if isinstance(error, ContractViolation) else f"{type(error).__name__}: "
            raise ContractViolation(f"on {case}: {kind}{error}") from error
