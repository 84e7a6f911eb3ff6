# Installed as aubench.methods._modules.gumbel_selection.
"""Differentiable random selection of each feature from one of several modalities (AMF eqs. 4 to 6).

M modalities score each of D features. Each of K draws selects one modality per feature with a probability proportional
to its score. The equations do not change if a constant is added to all log scores. All values are therefore relative to
the last modality, and M - 1 planes of (N, K, D) suffice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

FLOOR = 1e-8
"""Minimum of scores before the logarithm."""

_ALL = slice(None)


@dataclass(frozen=True, eq=False)
class Noise:
    """Gumbel noise for K draws of each feature of N frames, from few random numbers.

    Each uniform number is the fractional part of the sum of a number shared by all frames and a number shared by all
    draws. Hence each draw is independent over frames and features, and the draws of a frame and any two draws of two
    frames are independent. Groups of M draws, K / M apart, share their noise, rotated between the modalities. Their
    negative correlation reduces the variance of the mean of all votes.

    Attributes:
        by_draw: Uniforms shared by all frames, one per group of M draws, (M - 1, 1, K / M rounded up, D).
        by_frame: Uniforms shared by all draws, (M - 1, N, 1, D).
        draws: Number of draws K.
    """

    by_draw: Tensor
    by_frame: Tensor
    draws: int

    @classmethod
    def sample(
        cls,
        modalities: int,
        frames: int,
        draws: int,
        width: int,
        *,
        device: torch.device | None = None,
        generator: torch.Generator | None = None,
    ) -> Self:
        """Sample noise for ``modalities`` M, ``frames`` N, ``draws`` K and ``width`` D."""
        cuts, rounds = modalities - 1, -(-draws // modalities)
        by_draw = torch.rand(cuts, 1, rounds, width, device=device, generator=generator)
        by_frame = torch.rand(cuts, frames, 1, width, device=device, generator=generator)
        return cls(by_draw, by_frame, draws)

    def differences(self, frames: slice = _ALL) -> Float[Tensor, "rivals n k d"]:
        """Return the Gumbel noise of all modalities except the last, minus that of the last.

        Eq. (5) is ε = -log(-log u) = -log E with E exponential. M exponentials over their sum are distributed like the
        gaps of M - 1 uniform cuts of the unit interval, and differences of ε depend only on ratios of E. Hence
        M - 1 uniforms and one logarithm per gap give exactly the joint distribution of the differences.
        """
        cuts = (self.by_draw + self.by_frame[:, frames]).frac_()
        _, count, rounds, width = cuts.shape
        if len(cuts) == 1:
            logits: Tensor = cuts.logit_(eps=FLOOR)
            pairs = torch.stack([logits, logits], 2)
            pairs[:, :, 1].neg_()
            return pairs.view(1, count, 2 * rounds, width)[:, :, : self.draws]
        logs = _gaps(cuts).clamp_(min=FLOOR).log_()
        planes: Tensor = cuts.new_empty(len(cuts), count, self.draws, width)
        for turn, part in enumerate(torch.split(planes, rounds, -2)):
            gaps = logs[:, :, : part.shape[-2]].unbind()
            for m, plane in enumerate(part.unbind()):
                torch.sub(gaps[turn - 1], gaps[(m + turn) % len(gaps)], out=plane)
        return planes


def _gaps(cuts: Float[Tensor, "rivals n r d"]) -> Float[Tensor, "m n r d"]:
    """Return the lengths of the parts into which cuts divide the unit interval."""
    gaps = cuts.new_empty(len(cuts) + 1, *cuts.shape[1:])
    if len(cuts) == 2:
        torch.minimum(*cuts, out=gaps[0])
        torch.maximum(*cuts, out=gaps[1])
    else:
        gaps[:-1] = cuts.sort(0).values
    torch.sub(cuts.new_ones(()), gaps[-2], out=gaps[-1])
    for m in range(len(cuts) - 1, 0, -1):
        gaps[m].sub_(gaps[m - 1])
    return gaps


def log_odds(scores: Float[Tensor, "m n d"]) -> Float[Tensor, "rivals n 1 d"]:
    """Return the logarithms of scores minus that of the last modality. Below the floor, scores have its gradient."""
    values = scores.detach()
    floored = scores + (values.clamp(min=FLOOR) - values)
    *rivals, last = floored.log().unsqueeze(-2).unbind()
    return torch.stack(rivals) - last


def best_modality(edges: Float[Tensor, "rivals n k d"]) -> Float[Tensor, "rivals n k d"]:
    """Return eq. (4) without noise. Of equal modalities, the last or else the first is selected.

    Scores of 16 bits are equal often. With noise, :func:`hard_selection` is faster.
    """
    best = torch.cat([torch.zeros_like(edges[:1]), edges]).argmax(0)
    return torch.stack([best == rival for rival in range(1, len(edges) + 1)]).to(edges.dtype)


def hard_selection(edges: Float[Tensor, "rivals n k d"]) -> Float[Tensor, "rivals n k d"]:
    """Return eq. (4): 1 for the modality with the highest value and 0 otherwise, without gradient.

    Args:
        edges: Log odds against the last modality, with noise. Ties of two other modalities, which are rare then,
            select the last.
    """
    edges = edges.detach()
    if len(edges) == 1:
        return torch.gt(edges, 0, out=torch.empty_like(edges))
    if len(edges) == 2:
        best_other = torch.stack(edges.unbind()[::-1]).clamp_(min=0)
    else:
        best, second = edges.topk(2, 0).values
        best_other = torch.where(edges == best, second, best).clamp_(min=0)
    return torch.gt(edges, best_other, out=best_other)


def relaxed_selection(edges: Float[Tensor, "rivals n k d"], temperature: float) -> Float[Tensor, "rivals n k d"]:
    """Return eq. (6), the softmax over modalities, for all modalities except the last.

    For two rivals it is computed from sigmoids, which are fast and do not overflow: the first rival's part of the
    rivals' joint share, and the joint share from the better rival's odds against the last modality.
    """
    return relaxed_selection_(edges.clone(), temperature)


def relaxed_selection_(edges: Float[Tensor, "rivals n k d"], temperature: float) -> Float[Tensor, "rivals n k d"]:
    """Compute :func:`relaxed_selection` in the memory of ``edges``, since other memory is not in the cache."""
    edges.div_(temperature)
    if len(edges) == 1:
        return edges.sigmoid_()
    if len(edges) > 2:
        return torch.cat([edges, torch.zeros_like(edges[:1])]).softmax(0)[:-1]
    first = (edges[0] - edges[1]).sigmoid_()
    second = 1 - first
    better = torch.maximum(*edges).sigmoid_()
    both = better / (1 - torch.minimum(first, second) * (1 - better))
    return torch.stack([first, second]).mul_(both)


def weighted_features(
    weights: Float[Tensor, "rivals n k d"], features: Float[Tensor, "m n d"], out: Tensor | None = None
) -> Float[Tensor, "n k d"]:
    """Return the weighted sum of all modalities' features. The last weight is 1 minus the others.

    For one-hot weights, these are the features a* that the α* of eq. (3) select.

    Args:
        weights: Weights of all modalities except the last.
        features: Features of each modality.
        out: Memory for the result.
    """
    rivals, last = features[:-1].unsqueeze(-2), features[-1].unsqueeze(-2)
    mix = last
    for weight, rival in zip(weights, rivals, strict=True):
        mix = torch.addcmul(mix, weight, rival - last, out=out)
    return mix
