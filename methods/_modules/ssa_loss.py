"""Spatiotemporal semantic alignment: networks of different modalities learn from each other where they are worse.

Abavisani, Joze and Patel: Improving the Performance of Unimodal Dynamic Hand-Gesture Recognition with Multimodal
Training, CVPR 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

FLATTEST = 1e-5
"""Norm below which a channel that is the same everywhere counts as no pattern, rather than being blown up to one."""


def correlations(maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d d"]:
    """How alike every two of the d positions of a map are: corr(F) = F̂ᵀF̂.

    F̂ has a row for each channel, with zero mean and unit length over positions.
    """
    rows = maps.flatten(2).float()
    rows = functional.normalize(rows - rows.mean(2, keepdim=True), dim=2, eps=FLATTEST)
    with torch.autocast(maps.device.type, enabled=False):
        return rows.mT @ rows  # corr(F)


def focal_weights(
    own: Float[Tensor, "*n"], other: Float[Tensor, "*n"], beta: float, limit: float
) -> Float[Tensor, "*n"]:
    """ρ = exp(β Δℓ) - 1 where Δℓ = own - other is positive, and 0 elsewhere; at most ``limit``, and a constant.

    Args:
        own: Classification loss of the modality that is to learn.
        other: That of the modality to learn from.
        beta: β.
        limit: Beyond which ρ does not grow.
    """
    return torch.expm1(beta * (own - other)).clamp(0, limit).detach()  # ρ


def misalignment(own: Float[Tensor, "n d d"], target: Float[Tensor, "n d d"], *, per_pair: bool) -> Float[Tensor, " n"]:
    """‖own - target‖_F² of each frame; the target is a constant.

    Args:
        own: Correlations of the modality that is to learn.
        target: Those of the modality to learn from.
        per_pair: Divide by d², the number of pairs of positions.
    """
    squares = (own.float() - target.detach().float()).square()
    return squares.mean((1, 2)) if per_pair else squares.sum((1, 2))
