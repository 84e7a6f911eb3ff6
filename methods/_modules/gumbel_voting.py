"""The mean vote over many selections, and its straight-through gradient, in one pass (AMF eqs. 3 to 6 and 9).

A draw's value is that of its one-hot choice, its gradient that of the softmax. A vote's slope is known
as soon as the vote is, so all that the gradient needs is summed over the K draws at once, and no plane
of (N, K, D) outlives its few frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from aubench.methods._modules import gumbel_selection

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

_CACHED = 2**18
"""Numbers of a plane that a CPU works on at once: what fits in its cache, with the few planes made of it."""


def mean_vote(
    odds: Float[Tensor, "rivals n 1 d"],
    features: Float[Tensor, "m n d"],
    classifier: nn.Linear,
    noise: gumbel_selection.Noise,
    temperature: float,
) -> Float[Tensor, "n au"]:
    """Probabilities that K draws vote for on average, eq. (9).

    Args:
        odds: Log odds of the scores.
        features: What is selected from.
        classifier: Of selected features.
        noise: For K draws.
        temperature: τ of eq. (6), for the gradient.
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
        votes: Tensor
        votes, slopes = features.new_empty(2, frames, classes)
        taken = features.new_empty(modalities, frames, classes, width)
        swayed = features.new_empty(rivals, frames, classes, width)
        for rows in _blocks(features, noise.draws):
            edges, block = noise.differences(rows).add_(odds[:, rows]), features[:, rows]
            hard = gumbel_selection.hard_selection(edges)  # eq. (4)
            selected = gumbel_selection.weighted_features(hard, block).mT  # a* of eq. (3)
            vote = torch.baddbmm(bias[:, None], weight.expand(len(selected), -1, -1), selected).sigmoid_()
            slope = torch.addcmul(vote, vote, vote, value=-1)
            soft = gumbel_selection.relaxed_selection(edges, temperature)  # eq. (6)
            sway = soft.mul_(block[:-1, :, None] - gumbel_selection.weighted_features(soft, block))
            votes[rows], slopes[rows] = vote.mean(-1), slope.sum(-1)
            for r in range(rivals):
                torch.bmm(slope, hard[r], out=taken[r, rows])
                torch.bmm(slope, sway[r], out=swayed[r, rows])
        torch.sub(slopes[..., None], taken[:-1].sum(0), out=taken[-1])
        ctx.save_for_backward(features, weight, slopes, taken, swayed)
        ctx.draws, ctx.temperature = noise.draws, temperature
        return votes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, slopes, taken, swayed = ctx.saved_tensors
        above = above / ctx.draws
        pull = above[..., None] * weight
        by_odds = (pull * swayed).sum(-2, keepdim=True) / ctx.temperature
        by_features = (pull * taken).sum(-2)
        by_weight = (above[..., None] * (features[:, :, None] * taken).sum(0)).sum(0)
        return by_odds, by_features, by_weight, (above * slopes).sum(0), None, None


def _blocks(features: Tensor, draws: int) -> list[slice]:
    """Frames that are worked on at once."""
    _, frames, width = features.shape
    size = max(1, _CACHED // (draws * width)) if features.device.type == "cpu" else frames
    return [slice(begin, begin + size) for begin in range(0, frames, size)]
