"""Chance that falls the same on every machine: a counter-based integer hash and nothing else.

All that becomes a pixel or a label is made of integers and of the operations that IEEE 754 rounds exactly
(+, -, *, /, square root), so no maths library, vector width or thread count can change a byte.
"""

from __future__ import annotations

import math

import numpy as np

from aubench._util.jit import inner

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15


def _mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class CounterRNG:
    """A stream of numbers that depends on its name alone.

    Args:
        name: What the stream is for, e.g. ``(seed, "identity", "F001")``.
    """

    def __init__(self, *name: int | str) -> None:
        self.key = 0
        for byte in repr(name).encode():
            self.key = _mix((self.key + _STEP + byte) & _MASK)
        self._count = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """The next number, even over [low, high)."""
        self._count += 1
        bits = _mix((self.key + self._count * _STEP) & _MASK) >> 11
        return low + (high - low) * (bits * 2.0**-53)

    def normal(self, middle: float = 0.0, spread: float = 1.0) -> float:
        """The next number, bell-shaped with that mean and standard deviation, never beyond 3.5 of them."""
        total = self.uniform() + self.uniform() + self.uniform() + self.uniform()
        return middle + spread * math.sqrt(3.0) * (total - 2.0)

    def bernoulli(self, probability: float) -> bool:
        """Whether something of that probability comes to pass."""
        return self.uniform() < probability


@inner
def normal(key: np.uint64, count: np.uint64) -> float:
    """The ``count``-th number of stream ``key``: bell-shaped, mean 0, standard deviation 1."""
    h = key + count * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h = h ^ (h >> np.uint64(31))
    low = np.uint64(0xFFFF)
    total = (h & low) + ((h >> np.uint64(16)) & low) + ((h >> np.uint64(32)) & low) + (h >> np.uint64(48))
    return (float(np.int64(total)) - 131070.0) * (1.7320508075688772 / 65536.0)
