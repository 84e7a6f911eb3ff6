"""Loss terms and weights that are no longer finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor


def first_defect(
    losses: Mapping[str, float], recent: Sequence[Mapping[str, Tensor]], weights: Iterable[Tensor]
) -> tuple[str, int] | None:
    """Find a loss term or a weight that is not finite.

    Args:
        losses: Sums or means of loss terms, read from the device.
        recent: Loss terms of the last steps, which the sums contain.
        weights: Weights after the last step.

    Returns:
        Its description and the number of steps since it appeared, or None if all values are finite.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            finite = (name not in terms or bool(terms[name].isfinite()) for terms in recent)
            first = next((i for i, is_finite in enumerate(finite) if not is_finite), len(recent) - 1)
            return f"loss term '{name}'", len(recent) - 1 - first
    return None if torch.stack([weight.isfinite().all() for weight in weights]).all() else ("a weight", 0)
