"""Choosing each feature from one of several modalities, by chance and with a gradient (AMF eqs. 4 to 6).

M modalities score each of D features; K times, one modality is drawn for each feature, with a
probability proportional to its score. Everything is told relative to the last modality, since the
equations change nothing when the same number is added to all log scores: M - 1 planes of (N, K, D)
do the work of M.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

FLOOR = 1e-8
"""Least score whose logarithm is taken."""

_ALL = slice(None)


@dataclass(frozen=True, eq=False)
class Noise:
    """Gumbel noise for K draws of each feature of N frames, from far fewer random numbers.

    A uniform number is the sum, without its whole part, of one that all frames share and one that all
    draws share. So each draw is independent over frames and features, the draws of a frame are
    independent of each other, and so are any two draws of two frames. Then each M draws, K / M apart,
    have the same noise, passed round between the modalities: these depend on each other, negatively,
    which makes the mean of all votes steadier.

    Attributes:
        by_draw: Uniforms that all frames share, one for each M draws, (M - 1, 1, K / M rounded up, D).
        by_frame: Uniforms that all draws share, (M - 1, N, 1, D).
        draws: K.
    """

    by_draw: Tensor
    by_frame: Tensor
    draws: int

    @classmethod
    def drawn(
        cls,
        modalities: int,
        frames: int,
        draws: int,
        width: int,
        *,
        device: torch.device | None = None,
        generator: torch.Generator | None = None,
    ) -> Self:
        """Draw for ``modalities`` M (two or three), ``frames`` N, ``draws`` K and ``width`` D."""
        cuts, rounds = modalities - 1, -(-draws // modalities)
        by_draw = torch.rand(cuts, 1, rounds, width, device=device, generator=generator)
        by_frame = torch.rand(cuts, frames, 1, width, device=device, generator=generator)
        return cls(by_draw, by_frame, draws)

    def differences(self, frames: slice = _ALL) -> Float[Tensor, "rivals n k d"]:
        """Gumbel noise of all modalities but the last, less that of the last.

        eq. (5): ε = -log(-log u) = -log E with E exponential. M exponentials over their sum are the gaps
        that M - 1 uniform cuts leave in the unit interval, and differences of ε see ratios of E alone: so
        M - 1 uniforms and one logarithm of each gap give exactly the joint distribution of the differences.
        """
        cuts = (self.by_draw + self.by_frame[:, frames]).frac_()
        if len(cuts) == 1:
            logits: Tensor = cuts.logit_(eps=FLOOR)
            return torch.cat([logits, -logits], -2)[:, :, : self.draws]
        low, high = torch.minimum(*cuts), torch.maximum(*cuts)
        logs = torch.stack([low, high - low, 1 - high]).clamp_(min=FLOOR).log_()
        _, count, rounds, width = cuts.shape
        planes: Tensor = cuts.new_empty(2, count, self.draws, width)
        for turn, part in enumerate(torch.split(planes, rounds, -2)):
            own = logs[:, :, : part.shape[-2]].unbind()
            for m, plane in enumerate(part.unbind()):
                torch.sub(own[turn - 1], own[(m + turn) % 3], out=plane)
        return planes


def log_odds(scores: Float[Tensor, "m n d"]) -> Float[Tensor, "rivals n 1 d"]:
    """Logarithms of scores less that of the last modality."""
    *rivals, last = scores.clamp(min=FLOOR).log().unsqueeze(-2).unbind()
    return torch.stack(rivals) - last


def hard_selection(edges: Float[Tensor, "rivals n k d"]) -> Float[Tensor, "rivals n k d"]:
    """Eq. (4): 1 where a modality beats all others, 0 elsewhere; has no gradient.

    Args:
        edges: Log odds against the last modality, with noise or without. Ties of two others, which have
            probability 0, go to the last.
    """
    edges = edges.detach()
    best_other = edges.flip(0).clamp_(min=0) if len(edges) == 2 else torch.zeros_like(edges)
    return torch.gt(edges, best_other, out=best_other)


def relaxed_selection(edges: Float[Tensor, "rivals n k d"], temperature: float) -> Float[Tensor, "rivals n k d"]:
    """Eq. (6): the softmax over modalities, of all but the last.

    With two rivals it is put together from sigmoids, which are quick and never overflow: what the first
    has of both rivals' share, and that share from how the better rival does against the last.
    """
    edges = edges / temperature
    if len(edges) == 1:
        return edges.sigmoid_()
    first = (edges[0] - edges[1]).sigmoid_()
    second = 1 - first
    better = torch.maximum(*edges).sigmoid_()
    both = better / (1 - torch.minimum(first, second) * (1 - better))
    return torch.stack([first * both, second * both])


def weighted_features(
    weights: Float[Tensor, "rivals n k d"], features: Float[Tensor, "m n d"]
) -> Float[Tensor, "n k d"]:
    """Features of all modalities by their weights, the last one's being what is left to 1.

    Of one-hot weights, these are the features a* that the α* of eq. (3) select.
    """
    rivals, last = features[:-1].unsqueeze(-2), features[-1].unsqueeze(-2)
    mix = last
    for weight, rival in zip(weights, rivals, strict=True):
        mix = torch.addcmul(mix, weight, rival - last)
    return mix
