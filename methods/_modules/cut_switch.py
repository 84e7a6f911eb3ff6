# Installed as aubench.methods._modules.cut_switch.
"""Cut-switch, an augmentation that exchanges a block between modalities (AMF §3.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, model_validator

from aubench import Batch, Recipe, Uniform

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

CHANNELS = 3
"""Number of channels of every modality's images with cut-switch."""


class CutSwitchRecipe(Recipe):
    """Hyper-parameters of cut-switch."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {"cut_switch_block": 12}}

    cut_switch: Annotated[float, Uniform(0, 1)] = Field(
        0.0, ge=0, le=1, description="Share of training frames that cut-switch changes."
    )
    cut_switch_block: int = Field(50, ge=1, description="Side of the block in pixels.")

    @model_validator(mode="after")
    def _block_fits(self) -> Self:
        if self.cut_switch and self.cut_switch_block > self.crop:
            raise ValueError(f"cut_switch_block {self.cut_switch_block} is larger than crop {self.crop}")
        return self


def replicate_channels(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 3 h w"]:
    """Return images with three channels. A single channel is repeated, and two are followed by their mean."""
    if images.shape[1] == 2:
        return torch.cat([images, images.mean(1, keepdim=True)], 1)
    return images.expand(-1, CHANNELS, -1, -1)


def cut_switch(batch: Batch, block: int, share: float, generator: torch.Generator) -> Batch:
    """Exchange one block between the modalities of random frames.

    Each chosen frame has its own block, at the same position in all modalities. Each modality gets the block of
    another modality: that of the modality ``turn`` positions later, with a random ``turn`` per frame. For two or three
    modalities, these rotations are all permutations without a fixed point.

    Args:
        batch: Images of two or more modalities, (N, C, H, W).
        block: Side of the block in pixels.
        share: Probability that a frame is chosen.
        generator: Generator on the CPU.

    Returns:
        A new batch with three channels per modality.
    """
    names = tuple(batch.inputs)
    images = torch.stack([replicate_channels(batch.inputs[m]) for m in names])
    _, count, _, height, width = images.shape
    chosen = (torch.rand(count, generator=generator) < share).nonzero()[:, 0]
    top = torch.randint(0, height - block + 1, (count,), generator=generator)
    left = torch.randint(0, width - block + 1, (count,), generator=generator)
    turn = torch.randint(1, len(names), (count,), generator=generator)
    drawn = torch.stack([chosen, top[chosen], left[chosen], turn[chosen]])
    if images.is_cuda:
        drawn = drawn.pin_memory()  # otherwise the copy waits for the GPU
    frame, top, left, turn = drawn.to(images.device, non_blocking=not images.is_mps)[:, :, None, None, None]

    # Indices over (chosen frame, modality, row, column).
    target = torch.arange(len(names), device=images.device)[:, None, None]
    across = torch.arange(block, device=images.device)
    row, column = top + across[:, None], left + across
    images[target, frame, :, row, column] = images[(target + turn) % len(names), frame, :, row, column]
    return replace(batch, inputs=dict(zip(names, images, strict=True)))
