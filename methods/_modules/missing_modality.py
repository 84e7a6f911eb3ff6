"""Which frames have an image of a modality at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

LOWEST = -1.0
"""Value of a black pixel; stores keep black where there is no image."""


def is_present(images: Float[Tensor, "n *t c h w"]) -> Bool[Tensor, " n"]:
    """Which frames have an image: it is missing where all values are 0, or all are the lowest.

    Args:
        images: In [-1, 1]; zero all over where a modality was taken away, black where the store has none.
    """
    pixels = images.flatten(1)
    found: Tensor = (pixels != 0).any(1) & (pixels > LOWEST).any(1)
    return found
