# Installed as aubench.methods._modules.gumbel_voting.
"""Mean vote over many selections and its straight-through gradient in one pass (AMF eqs. 3 to 6 and 9).

A draw has the value of its one-hot choice and the gradient of the softmax. The forward pass sums all terms of the
gradient over the K draws, so that each plane of (N, K, D) exists only for one block of frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from aubench.methods._modules import gumbel_selection

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

FLOOR = 1e-30
"""Minimum of the probability that a vote gives an answer. Below it, the gradient of the logarithm is that of 1e-30."""

_CACHED = 2**18
"""Elements of a plane per block on a CPU, such that a block's planes fit in the cache."""


def mean_vote(
    odds: Float[Tensor, "rivals n 1 d"],
    features: Float[Tensor, "m n d"],
    classifier: nn.Linear,
    noise: gumbel_selection.Noise,
    temperature: float,
) -> Float[Tensor, "2 n au"]:
    """Return the mean probabilities of K draws that an AU is present, eq. (9), and that it is absent.

    The second is not 1 minus the first, which would be 0 if all draws are certain.

    Args:
        odds: Log odds of the scores.
        features: Features of each modality.
        classifier: Linear layer on selected features.
        noise: Noise of K draws.
        temperature: Temperature τ of eq. (6), used in the gradient.
    """
    exact = [x.to(torch.promote_types(x.dtype, torch.float32)) for x in (odds, features, *classifier.parameters())]
    with torch.autocast(features.device.type, enabled=False):
        votes: Tensor = _MeanVote.apply(*exact, noise, temperature)  # type: ignore[no-untyped-call]
    return votes


class _MeanVote(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        odds: Tensor,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        noise: gumbel_selection.Noise,
        temperature: float,
    ) -> Tensor:
        (modalities, frames, width), classes = features.shape, len(bias)
        rivals = modalities - 1
        votes, slopes = features.new_empty(2, frames, classes), features.new_empty(frames, classes)
        selected_slopes = features.new_empty(modalities, frames, classes, width)
        soft_slopes = features.new_empty(rivals, frames, classes, width)
        for rows in _blocks(features, noise.draws):
            edges, block = noise.differences(rows).add_(odds[:, rows]), features[:, rows]
            hard = gumbel_selection.hard_selection(edges)  # eq. (4)
            selected = gumbel_selection.weighted_features(hard, block)  # a* of eq. (3)
            logits = torch.baddbmm(bias[:, None], weight.expand(len(selected), -1, -1), selected.mT)
            vote, against = (x.sigmoid().clamp_(min=FLOOR) for x in (logits, -logits))
            slope = vote * against
            votes[0, rows], votes[1, rows], slopes[rows] = vote.mean(-1), against.mean(-1), slope.sum(-1)
            soft = gumbel_selection.relaxed_selection_(edges, temperature)  # eq. (6)
            mean = gumbel_selection.weighted_features(soft, block, out=selected)
            for r in range(rivals):
                torch.bmm(slope, hard[r], out=selected_slopes[r, rows])
                soft_gradient = soft[r].mul_(torch.sub(block[r, :, None], mean, out=hard[r]))
                torch.bmm(slope, soft_gradient, out=soft_slopes[r, rows])
        torch.sub(slopes[..., None], selected_slopes[:-1].sum(0), out=selected_slopes[-1])
        ctx.save_for_backward(features, weight, slopes, selected_slopes, soft_slopes)
        ctx.draws, ctx.temperature = noise.draws, temperature
        return votes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, votes_grad: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, slopes, selected_slopes, soft_slopes = ctx.saved_tensors
        grad = (votes_grad[0] - votes_grad[1]) / ctx.draws
        weighted = grad[..., None] * weight
        odds_grad = (weighted * soft_slopes).sum(-2, keepdim=True) / ctx.temperature
        features_grad = (weighted * selected_slopes).sum(-2)
        weight_grad = (grad[..., None] * (features[:, :, None] * selected_slopes).sum(0)).sum(0)
        return odds_grad, features_grad, weight_grad, (grad * slopes).sum(0), None, None


def _blocks(features: Tensor, draws: int) -> list[slice]:
    """Return the blocks of frames."""
    _, frames, width = features.shape
    size = max(1, _CACHED // (draws * width)) if features.device.type == "cpu" else frames
    return [slice(begin, begin + size) for begin in range(0, frames, size)]
