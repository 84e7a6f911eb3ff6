"""Box blur: a test-time corruption in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aubench.core.corruption_registry import Corruption, ImageNoise

if TYPE_CHECKING:
    from torch import Tensor


def box_blur(images: Tensor, level: float, noise: ImageNoise) -> Tensor:
    """Replace each pixel by the mean of a square of 2 * level + 1 pixels, cut at the border."""
    from torch.nn import functional

    radius = int(level)
    frames = images.flatten(0, -4)
    blurred = functional.avg_pool2d(frames, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
    return blurred.view_as(images)


BLUR = Corruption(
    "blur", "F1 under box blur", "radius of the box in pixels", box_blur, max_level=100, integer_levels=True
)
