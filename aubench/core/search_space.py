"""Search ranges of recipe fields, declared as metadata of the field's type.

Example: ``learning_rate: Annotated[float, LogUniform(1e-5, 1e-2)] = Field(1e-4, gt=0)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Uniform:
    """Uniform distribution over an interval.

    Attributes:
        low: Lower limit.
        high: Upper limit.
    """

    low: float
    high: float

    def validate(self) -> str | None:
        """Return the reason why the range is invalid, or None if it is valid."""
        return _order(self.low, self.high)

    def bounds(self) -> tuple[float, float]:
        """Return the limits, which the field must accept."""
        return self.low, self.high


@dataclass(frozen=True)
class LogUniform(Uniform):
    """Log-uniform distribution over an interval of positive numbers."""

    def validate(self) -> str | None:
        """Return the reason why the range is invalid, or None if it is valid."""
        return _order(self.low, self.high) or (None if self.low > 0 else f"has no logarithm at {self.low}")


@dataclass(frozen=True)
class IntUniform:
    """Uniform distribution over integers, both limits included.

    Attributes:
        low: Lower limit.
        high: Upper limit.
        log: Whether the distribution is log-uniform.
    """

    low: int
    high: int
    log: bool = False

    def validate(self) -> str | None:
        """Return the reason why the range is invalid, or None if it is valid."""
        if not (isinstance(self.low, int) and isinstance(self.high, int)):
            return f"{self.low} to {self.high} are not whole numbers"
        return _order(self.low, self.high) or (f"has no logarithm at {self.low}" if self.log and self.low < 1 else None)

    def bounds(self) -> tuple[int, int]:
        """Return the limits, which the field must accept."""
        return self.low, self.high


@dataclass(frozen=True, init=False)
class Categorical:
    """Uniform distribution over options.

    Attributes:
        options: Numbers, strings, booleans or None.
    """

    options: tuple[bool | int | float | str | None, ...]

    def __init__(self, *options: bool | int | float | str | None) -> None:
        object.__setattr__(self, "options", options)

    def validate(self) -> str | None:
        """Return the reason why the range is invalid, or None if it is valid."""
        return None if len(set(self.options)) > 1 else "leaves no choice"

    def bounds(self) -> tuple[bool | int | float | str | None, ...]:
        """Return the values that the field must accept, here all options."""
        return self.options


Range = Uniform | LogUniform | IntUniform | Categorical


def _order(low: float, high: float) -> str | None:
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{low} to {high} is not finite"
    return None if low < high else f"{low} is not below {high}"
