"""The space of a search: the recipe fields that are looked for, each in its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from aubench.core.errors import RecipeError, UsageError, suggest
from aubench.core.recipe import Recipe
from aubench.core.search_space import Categorical, IntUniform, LogUniform, Range


class TrialLike(Protocol):
    """What suggests values and is told how good they are: Optuna's trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number of a range."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number of a range."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of several values."""

    def report(self, value: float, step: int) -> None:
        """Hear how good the values are so far."""

    def should_prune(self) -> bool:
        """Whether these values are worth no more work."""


@dataclass(frozen=True)
class Space:
    """Recipe fields and where to look for their values.

    Attributes:
        ranges: By field name.
    """

    ranges: Mapping[str, Range]

    @classmethod
    def of(cls, recipe: type[Recipe], preset: str, fixed: Mapping[str, Any], wanted: Sequence[str] | None) -> Space:
        """The space that a recipe declares.

        Args:
            recipe: The method's.
            preset: Where every trial begins.
            fixed: Values that the user has chosen; they are not searched.
            wanted: Names of fields to search; all that have a range where None.

        Raises:
            UsageError: A field that is wanted has no range, or is fixed, or nothing is left to search.
            RecipeError: A range makes no sense, or the recipe refuses its ends.
        """
        known = recipe.search_ranges()
        for name in wanted or ():
            if name not in known:
                raise UsageError(f"'{name}' has no range", where="--space", hint=f"those with one: {', '.join(known)}")
            if name in fixed:
                raise UsageError(f"'{name}' is fixed by --set", where="--space", hint="leave out one of the two")
        found = {name: known[name] for name in (known if wanted is None else wanted) if name not in fixed}
        if not found:
            raise UsageError("leaves nothing to search", where="--space", hint=suggest("", known))
        for name, where in found.items():
            _check(recipe, preset, fixed, name, where)
        return cls(found)

    def draw(self, trial: TrialLike) -> dict[str, Any]:
        """A value for each field, as a trial suggests them."""
        return {name: _suggested(trial, name, where) for name, where in self.ranges.items()}

    def check_contains(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a recipe that can be drawn."""
        return {name: recipe[name] for name, where in self.ranges.items() if _holds(where, recipe[name])}

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As plain data."""
        return {
            name: {
                "kind": type(where).__name__,
                **{k: list(v) if isinstance(v, tuple) else v for k, v in parts.items()},
            }
            for name, where in self.ranges.items()
            for parts in (asdict(where),)
        }


def _check(recipe: type[Recipe], preset: str, fixed: Mapping[str, Any], name: str, where: Range) -> None:
    place = f"search range of recipe key '{name}'"
    if problem := where.validate():
        raise RecipeError(problem, where=place)
    for end in where.bounds():
        try:
            recipe.from_preset(preset, {**fixed, name: end})
        except RecipeError as error:
            raise RecipeError(error.what, where=place, hint="correct the range in the recipe") from None


def _holds(where: Range, value: Any) -> bool:
    if isinstance(where, Categorical):
        return value in where.options
    return isinstance(value, int | float) and where.low <= value <= where.high


def _suggested(trial: TrialLike, name: str, where: Range) -> Any:
    match where:
        case Categorical(options):
            return trial.suggest_categorical(name, options)
        case IntUniform(low, high, log):
            return trial.suggest_int(name, low, high, log=log)
        case _:
            return trial.suggest_float(name, where.low, where.high, log=isinstance(where, LogUniform))
