"""Choosing each feature from one of several modalities, by chance and with a gradient (AMF eqs. 4 to 6).

M modalities score each of D features; K times, one modality is drawn for each feature, with a
probability proportional to its score. Everything is told relative to the last modality, since the
equations change nothing when the same number is added to all log scores: M - 1 planes of (N, K, D)
do the work of M.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

FLOOR = 1e-8
"""Least score whose logarithm is taken."""


def gumbel_differences(
    modalities: int,
    shape: tuple[int, ...],
    *,
    device: torch.device | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Gumbel noise of all modalities but the last, less that of the last.

    eq. (5): ε = -log(-log u) = -log E with E exponential. M exponentials over their sum are the gaps
    that M - 1 uniform cuts leave in the unit interval, and differences of ε see ratios of E alone: so
    M - 1 uniforms and a single logarithm give exactly the joint distribution of the differences.

    Args:
        modalities: M, two or three.
        shape: Of each plane.
        device: Where to draw.
        generator: Source of chance; the global one by default.

    Returns:
        M - 1 planes.
    """
    cuts = torch.rand(modalities - 1, *shape, device=device, generator=generator)
    if modalities == 2:
        return cuts.logit_(eps=FLOOR)
    low, high = torch.minimum(*cuts), torch.maximum(*cuts)
    gaps = torch.stack([low, high - low]).clamp_(min=FLOOR)
    return ((1 - high).clamp_(min=FLOOR) / gaps).log_()


def log_odds(scores: Float[Tensor, "m n d"]) -> Float[Tensor, "rivals n 1 d"]:
    """Logarithms of scores less that of the last modality."""
    logs = scores.clamp(min=FLOOR).log()
    return (logs[:-1] - logs[-1]).unsqueeze(-2)


def chosen(edges: Float[Tensor, "rivals n k d"]) -> Float[Tensor, "rivals n k d"]:
    """Eq. (4): 1 where a modality beats all others, 0 elsewhere; has no gradient.

    Args:
        edges: Log odds against the last modality, with noise or without. Ties of two others, which have
            probability 0, go to the last.
    """
    edges = edges.detach()
    best_other = edges.flip(0).clamp_(min=0) if len(edges) == 2 else 0
    return edges.clone().gt_(best_other)


def relaxed(edges: Float[Tensor, "rivals n k d"], temperature: float) -> Float[Tensor, "rivals n k d"]:
    """Eq. (6): the softmax over modalities, of all but the last."""
    edges = edges / temperature
    if len(edges) == 1:
        return edges.sigmoid()
    with_last = functional.pad(edges, (0, 0, 0, 0, 0, 0, 0, 1))
    return with_last.softmax(0)[:-1]


def straight_through(edges: Float[Tensor, "rivals n k d"], temperature: float) -> Float[Tensor, "rivals n k d"]:
    """The value of eq. (4) with the gradient of eq. (6)."""
    soft = relaxed(edges, temperature)
    return soft + (chosen(edges) - soft.detach())


def mixed(weights: Float[Tensor, "rivals n k d"], features: Float[Tensor, "m n d"]) -> Float[Tensor, "n k d"]:
    """Features of all modalities by their weights, the last one's being what is left to 1."""
    rivals, last = features[:-1].unsqueeze(-2), features[-1].unsqueeze(-2)
    mix = last
    for weight, rival in zip(weights, rivals, strict=True):
        mix = torch.addcmul(mix, weight, rival - last)
    return mix
