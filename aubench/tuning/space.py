"""Search space: the searched recipe fields and their ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from aubench.core.errors import RecipeError, UsageError, suggest
from aubench.core.recipe import Recipe
from aubench.core.search_space import Categorical, IntUniform, LogUniform, Range

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True)
class Space:
    """Search space.

    Attributes:
        ranges: Range of each recipe field, by the field's name.
    """

    ranges: Mapping[str, Range]

    @classmethod
    def of(
        cls,
        recipe: type[Recipe],
        preset: str,
        fixed: Mapping[str, Any],
        names: Sequence[str] | None,
        unsupported_reason: Callable[[Recipe], str | None] = lambda recipe: None,
    ) -> Space:
        """Create the space that a recipe declares.

        Unless fields are named, it leaves out those whose range lacks the preset's value, so that the preset is a point
        of the space, and those of which a task does not support a bound.

        Args:
            recipe: Recipe class of the method.
            preset: Preset of every trial.
            fixed: Values set by the user, which are not searched.
            names: Names of the fields to search; if None all with a range that has the preset's value.
            unsupported_reason: Reason why the task does not support a recipe.

        Raises:
            UsageError: A field has no range, is fixed or is not supported, or there is nothing to search.
            RecipeError: A range is invalid, or the recipe does not accept its bounds.
        """
        declared = recipe.search_ranges()
        for name in names or ():
            if name not in declared:
                hint = f"those with one: {', '.join(declared)}"
                raise UsageError(f"'{name}' has no range", where="--space", hint=hint)
            if name in fixed:
                raise UsageError(f"'{name}' is fixed by --set", where="--space", hint="leave out one of the two")
        space = cls({name: declared[name] for name in (declared if names is None else names) if name not in fixed})
        left_out = space.outside(recipe.from_preset(preset, fixed).model_dump(mode="json")) if names is None else {}
        ranges = {}
        for name, domain in space.ranges.items():
            reasons = map(unsupported_reason, _recipes_at_bounds(recipe, preset, fixed, name, domain))
            reason = next((reason for reason in reasons if reason is not None), None)
            if reason is not None and names is not None:
                raise UsageError(f"'{name}' cannot be searched: {reason}", where="--space")
            if reason is None and name not in left_out:
                ranges[name] = domain
        if not ranges:
            raise UsageError("leaves nothing to search", where="--space", hint=suggest("", declared))
        return cls(ranges)

    def draw(self, trial: Trial) -> dict[str, Any]:
        """Return the values that a trial suggests, by field."""
        return {name: _suggest(trial, name, domain) for name, domain in self.ranges.items()}

    def restrict(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a recipe that lie inside the space."""
        return {name: recipe[name] for name, domain in self.ranges.items() if _contains(domain, recipe[name])}

    def outside(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of searched fields of a recipe that lie outside their ranges."""
        return {name: recipe[name] for name, domain in self.ranges.items() if not _contains(domain, recipe[name])}

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the space as JSON data."""
        return {
            name: {
                "kind": type(domain).__name__,
                **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(domain).items()},
            }
            for name, domain in self.ranges.items()
        }


def _recipes_at_bounds(
    recipe: type[Recipe], preset: str, fixed: Mapping[str, Any], name: str, domain: Range
) -> list[Recipe]:
    """Return the recipes with the bounds of a range.

    Raises:
        RecipeError: The range is invalid, or the recipe does not accept a bound.
    """
    where = f"search range of recipe key '{name}'"
    if problem := domain.validate():
        raise RecipeError(problem, where=where)
    try:
        return [recipe.from_preset(preset, {**fixed, name: bound}) for bound in domain.bounds()]
    except RecipeError as error:
        raise RecipeError(error.what, where=where, hint="correct the range in the recipe") from None


def _contains(domain: Range, value: Any) -> bool:
    if isinstance(domain, Categorical):
        return value in domain.options
    return isinstance(value, int | float) and domain.low <= value <= domain.high


def _suggest(trial: Trial, name: str, domain: Range) -> Any:
    match domain:
        case Categorical(options):
            return trial.suggest_categorical(name, options)
        case IntUniform(low, high, log):
            return trial.suggest_int(name, low, high, log=log)
        case _:
            return trial.suggest_float(name, domain.low, domain.high, log=isinstance(domain, LogUniform))
