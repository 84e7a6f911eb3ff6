"""Images under a treatment: filled, noisy or masked, with chance that every method meets alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from aubench._util.seeds import derive
from aubench.core.conditions import Condition, Corruption
from aubench.core.errors import MethodError
from aubench.core.task import Modality

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

GRID = 14
"""Cells along a side of what masks hide: patches of 16 pixels at 224."""

FrameName = tuple[str, str, int]
"""Subject, sequence and number of a frame."""

Means = Mapping[Modality, "Float[Tensor, 'c h w']"]
"""Mean image of each modality."""


class FrameNoise:
    """Frames of a batch with the chance that belongs to each: of (seed, frame, modality), whatever the method.

    What is drawn is drawn once, on the CPU, and kept as long as the batch.

    Args:
        seed: Of the run.
        names: Subject, sequence and number of each frame; clips one after the other.
    """

    def __init__(self, seed: int, names: Sequence[FrameName]) -> None:
        self.seed, self.names = seed, names
        self._drawn: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def noise(self, modality: Modality, like: Float[Tensor, "n *t c h w"]) -> Float[Tensor, "n *t c h w"]:
        """Standard normal noise of the shape, type and device of some images."""
        shape = like.shape[-3:]
        return self._of("noise", modality, shape, torch.randn).view(like.shape).to(like)

    def ranks(self, like: Float[Tensor, "n *t c h w"]) -> Float[Tensor, "n *t 1 h w"]:
        """Ranks from 0 to 1 of a grid's cells, drawn for each frame, spread over the pixels of some images."""
        drawn = self._of("mask", "", (1, GRID, GRID), torch.rand)
        ranks = drawn.flatten(1).argsort(dim=1, stable=True).argsort(dim=1) / GRID**2
        spread = functional.interpolate(ranks.view_as(drawn), like.shape[-2:], mode="nearest")
        return spread.view(*like.shape[:-3], 1, *like.shape[-2:]).to(like)

    def _of(self, what: str, modality: str, shape: tuple[int, ...], draw: Callable[..., Tensor]) -> Tensor:
        key = (what + modality, tuple(shape))
        if key not in self._drawn:
            seeds = (derive(self.seed, what, *name, modality) for name in self.names)
            generator = torch.Generator()
            self._drawn[key] = torch.stack([draw(shape, generator=generator.manual_seed(seed)) for seed in seeds])
        return self._drawn[key]


def corrupt(
    images: Float[Tensor, "n *t c h w"],
    treatment: Corruption,
    modality: Modality,
    frames: FrameNoise | None,
    means: Means | None = None,
) -> Float[Tensor, "n *t c h w"]:
    """Images of a modality under a treatment.

    Args:
        images: In [-1, 1].
        treatment: What to do.
        modality: Whose images.
        frames: Chance of the frames; only noise and masks need it.
        means: Mean image of each modality; only the fill ``mean`` needs it.
    """
    match treatment.kind:
        case "as is":
            return images
        case "zero":
            return torch.zeros_like(images)
        case "black":
            return torch.full_like(images, -1.0)
        case "mean" if means is not None:
            return means[modality].to(images).expand_as(images)
        case "noise" if frames is not None:
            return torch.add(images, frames.noise(modality, images), alpha=treatment.level)
        case "mask" if frames is not None:
            return images * (frames.ranks(images) >= treatment.level)
    raise MethodError(f"nothing is at hand to treat images with '{treatment.kind}'", where=str(modality))


def apply_condition(
    views: Mapping[Modality, Tensor], condition: Condition, frames: FrameNoise | None = None, means: Means | None = None
) -> dict[Modality, Tensor]:
    """All images under a condition; arguments as of :func:`treated`."""
    treatments = condition.corruptions(views)
    return {m: corrupt(x, treatments[m], m, frames, means) for m, x in views.items()}
