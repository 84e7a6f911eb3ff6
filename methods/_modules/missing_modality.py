# Installed as aubench.methods._modules.missing_modality.
"""Detection of frames without an image of a modality."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

LOWEST = -1.0
"""Value of a black pixel. Stores contain black images for missing ones."""


def is_present(images: Float[Tensor, "n *t c h w"]) -> Bool[Tensor, " n"]:
    """Return the mask of frames with an image. An image is missing if all values are 0 or all are the lowest.

    Args:
        images: Images in [-1, 1], zero for a removed modality, black if the store has no image.
    """
    pixels = images.flatten(1)
    present: Tensor = (pixels != 0).any(1) & (pixels > LOWEST).any(1)
    return present
