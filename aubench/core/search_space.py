"""Where a search may look for a recipe's value: written beside the field, as metadata of its type.

For example ``learning_rate: Annotated[float, LogUniform(1e-5, 1e-2)] = Field(1e-4, gt=0)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Uniform:
    """Every number between two is as likely as any other.

    Attributes:
        low: The smallest.
        high: The largest.
    """

    low: float
    high: float

    def validate(self) -> str | None:
        """Why this is no range; None where it is one."""
        return _order(self.low, self.high)

    def bounds(self) -> tuple[float, float]:
        """The values that the field must accept for it to accept all."""
        return self.low, self.high


@dataclass(frozen=True)
class LogUniform(Uniform):
    """Every order of magnitude between two positive numbers is as likely as any other."""

    def validate(self) -> str | None:
        """Why this is no range; None where it is one."""
        return _order(self.low, self.high) or (None if self.low > 0 else f"has no logarithm at {self.low}")


@dataclass(frozen=True)
class IntUniform:
    """Every whole number between two, both included.

    Attributes:
        low: The smallest.
        high: The largest.
        log: Whether orders of magnitude are alike, not numbers.
    """

    low: int
    high: int
    log: bool = False

    def validate(self) -> str | None:
        """Why this is no range; None where it is one."""
        if not (isinstance(self.low, int) and isinstance(self.high, int)):
            return f"{self.low} to {self.high} are no whole numbers"
        return _order(self.low, self.high) or (f"has no logarithm at {self.low}" if self.log and self.low < 1 else None)

    def bounds(self) -> tuple[int, int]:
        """The values that the field must accept for it to accept all."""
        return self.low, self.high


@dataclass(frozen=True, init=False)
class Categorical:
    """One of several values.

    Attributes:
        options: Numbers, words, truth values or None.
    """

    options: tuple[bool | int | float | str | None, ...]

    def __init__(self, *options: bool | int | float | str | None) -> None:
        object.__setattr__(self, "options", options)

    def validate(self) -> str | None:
        """Why this is no range; None where it is one."""
        return None if len(set(self.options)) > 1 else "leaves no choice"

    def bounds(self) -> tuple[bool | int | float | str | None, ...]:
        """The values that the field must accept: all."""
        return self.options


Range = Uniform | LogUniform | IntUniform | Categorical


def _order(low: float, high: float) -> str | None:
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{low} to {high} is not finite"
    return None if low < high else f"{low} is not below {high}"
