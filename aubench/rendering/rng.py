"""Counter-based random numbers, bit-identical on every platform.

Pixels and labels depend on integers and on the operations that IEEE 754 rounds exactly (+, -, *, /, square
root), so the maths library, the vector width and the number of threads do not change a byte.
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
        name: Purpose of the stream, e.g. ``(seed, "identity", "F001")``.
    """

    def __init__(self, *name: int | str) -> None:
        self.key = 0
        for byte in repr(name).encode():
            self.key = _mix((self.key + _STEP + byte) & _MASK)
        self._count = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Draw from the uniform distribution over [low, high)."""
        self._count += 1
        bits = _mix((self.key + self._count * _STEP) & _MASK) >> 11
        return low + (high - low) * (bits * 2.0**-53)

    def normal(self, mean: float = 0.0, std: float = 1.0) -> float:
        """Draw from an approximately normal distribution, cut off at 3.5 standard deviations."""
        total = self.uniform() + self.uniform() + self.uniform() + self.uniform()
        return mean + std * math.sqrt(3.0) * (total - 2.0)

    def bernoulli(self, probability: float) -> bool:
        """Draw True with a probability."""
        return self.uniform() < probability


@inner
def normal(key: np.uint64, count: np.uint64) -> float:
    """Return the ``count``-th standard normal number of stream ``key``."""
    h = key + count * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h = h ^ (h >> np.uint64(31))
    low = np.uint64(0xFFFF)
    total = (h & low) + ((h >> np.uint64(16)) & low) + ((h >> np.uint64(32)) & low) + (h >> np.uint64(48))
    return (float(np.int64(total)) - 131070.0) * (1.7320508075688772 / 65536.0)
