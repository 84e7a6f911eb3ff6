# Installed as aubench.methods._modules.ssa_loss.
"""Spatiotemporal semantic alignment loss, by which networks learn from better networks of other modalities.

Abavisani, Joze and Patel: Improving the Performance of Unimodal Dynamic Hand-Gesture Recognition with Multimodal
Training, CVPR 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

MIN_NORM = 1e-5
"""Minimum divisor of a channel in the normalisation, so that constant channels stay near zero."""


def correlations(maps: Float[Tensor, "n c h w"], norm_floor: float) -> Float[Tensor, "n d d"]:
    """Return the correlations corr(F) = F̂ᵀF̂ of the d positions of a map.

    F̂ has one row per channel, with zero mean over positions, divided by its norm. The gradient grows with 1 / divisor,
    so the divisor is at least a share of the mean norm of the frame's channels.

    Args:
        maps: Feature maps F.
        norm_floor: That share. With 0, all channels that are not constant have unit length.
    """
    rows = maps.flatten(2).float()
    rows = rows - rows.mean(2, keepdim=True)
    norms = torch.linalg.vector_norm(rows, dim=2, keepdim=True)
    floor = (norm_floor * norms.detach().mean(1, keepdim=True)).clamp(min=MIN_NORM)
    rows = rows / torch.maximum(norms, floor)
    with torch.autocast(maps.device.type, enabled=False):
        return rows.mT @ rows  # corr(F)


def focal_weights(
    student: Float[Tensor, "*n"], teacher: Float[Tensor, "*n"], beta: float, limit: float
) -> Float[Tensor, "*n"]:
    """Return ρ = exp(β Δℓ) - 1 if Δℓ = student - teacher is positive, else 0, as a constant.

    Args:
        student: Classification loss of the modality that learns.
        teacher: Classification loss of the modality to learn from.
        beta: Parameter β.
        limit: Maximum of ρ.
    """
    return torch.expm1(beta * (student - teacher)).clamp(0, limit).detach()  # ρ


def misalignment(
    student: Float[Tensor, "n d d"], teacher: Float[Tensor, "n d d"], *, per_pair: bool
) -> Float[Tensor, " n"]:
    """Return ‖student - teacher‖_F² of each frame. The teacher is a constant.

    Args:
        student: Correlations of the modality that learns.
        teacher: Correlations of the modality to learn from.
        per_pair: Divide by d², the number of pairs of positions.
    """
    squares = (student.float() - teacher.detach().float()).square()
    return squares.mean((1, 2)) if per_pair else squares.sum((1, 2))
