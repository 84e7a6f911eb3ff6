"""Corruption of images, with random numbers that are equal for all methods of one image size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from aubench._util.seeds import derive
from aubench.core.conditions import IDENTITY, Condition, CorruptionLevel
from aubench.core.corruption_registry import CORRUPTIONS
from aubench.core.errors import MethodError
from aubench.core.task import Modality
from aubench.data.loader import to_device

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

GRID = 14
"""Cells along a side of the grid of masks: patches of 16 pixels at 224."""

FrameName = tuple[str, str, int]
"""Subject, sequence and number of a frame."""

Means = Mapping[Modality, "Float[Tensor, 'c h w']"]
"""Mean image of each modality."""


class FrameNoise:
    """Random numbers of the frames of a batch, a function of seed, frame and modality.

    Numbers are drawn on the CPU. They are cached on the device of the images as long as the object exists.

    Args:
        seed: Seed of the run.
        names: Subject, sequence and number of each frame, clip after clip.
    """

    def __init__(self, seed: int, names: Sequence[FrameName]) -> None:
        self.seed, self.names = seed, names
        self._cache: dict[tuple[str, tuple[int, ...], torch.device], Tensor] = {}

    def noise(self, modality: Modality, like: Float[Tensor, "n *t c h w"]) -> Float[Tensor, "n *t c h w"]:
        """Return standard normal noise of the shape, type and device of some images."""
        return self._draw("noise", modality, like.shape[-3:], torch.randn, like.device).view(like.shape).to(like)

    def ranks(self, like: Float[Tensor, "n *t c h w"]) -> Float[Tensor, "n *t 1 h w"]:
        """Return random ranks from 0 to 1 of a grid's cells per frame, resized to the pixels of some images."""
        values = self._draw("mask", "", (1, GRID, GRID), torch.rand, like.device)
        ranks = values.flatten(1).argsort(dim=1, stable=True).argsort(dim=1) / GRID**2
        resized = functional.interpolate(ranks.view_as(values), like.shape[-2:], mode="nearest")
        return resized.view(*like.shape[:-3], 1, *like.shape[-2:]).to(like)

    def _draw(
        self, purpose: str, modality: str, shape: tuple[int, ...], sample: Callable[..., Tensor], device: torch.device
    ) -> Tensor:
        key = (purpose + modality, tuple(shape), device)
        if key not in self._cache:
            seeds = (derive(self.seed, purpose, *name, modality) for name in self.names)
            generator = torch.Generator()
            drawn = torch.stack([sample(shape, generator=generator.manual_seed(seed)) for seed in seeds])
            self._cache[key] = to_device(drawn, device)
        return self._cache[key]


@dataclass(frozen=True)
class ModalityNoise:
    """Noise of one modality, as corruptions receive it.

    Attributes:
        kind: Name of the corruption, for error messages.
        modality: Modality of the images.
        frames: Random numbers of the frames; None if the frames are not known.
    """

    kind: str
    modality: Modality
    frames: FrameNoise | None

    def normal(self, like: Float[Tensor, "n *t c h w"]) -> Float[Tensor, "n *t c h w"]:
        """Return standard normal noise of the shape, type and device of some images."""
        return self._known_frames().noise(self.modality, like)

    def cell_ranks(self, like: Float[Tensor, "n *t c h w"]) -> Float[Tensor, "n *t 1 h w"]:
        """Return random ranks from 0 to 1 of the cells of a 14 x 14 grid, equal in all modalities of a frame."""
        return self._known_frames().ranks(like)

    def _known_frames(self) -> FrameNoise:
        if self.frames is None:
            raise MethodError(f"condition '{self.kind}' needs frame identifiers", where=str(self.modality))
        return self.frames


def corrupt(
    images: Float[Tensor, "n *t c h w"],
    corruption: CorruptionLevel,
    modality: Modality,
    frames: FrameNoise | None,
    means: Means | None = None,
) -> Float[Tensor, "n *t c h w"]:
    """Corrupt the images of a modality.

    Args:
        images: Images in [-1, 1].
        corruption: Corruption and its level.
        modality: Modality of the images.
        frames: Random numbers of the frames, for corruptions that draw any.
        means: Mean image of each modality, for the fill ``mean``.

    Raises:
        MethodError: The corruption needs ``frames`` or ``means``.
    """
    match corruption.kind:
        case IDENTITY.kind:
            return images
        case "zero":
            return torch.zeros_like(images)
        case "black":
            return torch.full_like(images, -1.0)
        case "mean":
            if means is None:
                raise MethodError("condition 'missing' with 'mean' needs mean images", where=str(modality))
            return means[modality].to(images).expand_as(images)
        case kind:
            corruptor = CORRUPTIONS.get(kind)
            copied = images.clone()  # all conditions share the images, and a plug-in may change them in place
            return corruptor.apply(copied, corruption.level, ModalityNoise(kind, modality, frames))


def apply_condition(
    views: Mapping[Modality, Tensor], condition: Condition, frames: FrameNoise | None = None, means: Means | None = None
) -> dict[Modality, Tensor]:
    """Corrupt the images of all modalities, with arguments as of :func:`corrupt`."""
    corruptions = condition.corruptions(views)
    return {m: corrupt(x, corruptions[m], m, frames, means) for m, x in views.items()}
