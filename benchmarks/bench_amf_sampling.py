"""AMF's batched draws and votes against a Python loop over the K draws, with gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from aubench.methods._modules import gumbel_selection, gumbel_voting

DRAWS, AUS, TEMPERATURE = 100, 12, 0.7


class Head(nn.Module):
    """Scores, features and a classifier."""

    def __init__(self, modalities: int, frames: int, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Parameter(torch.randn(modalities, frames, width))
        self.scores = nn.Parameter(torch.rand(modalities, frames, width))
        self.classifier = nn.Linear(width, AUS)

    def batched(self) -> Tensor:
        """Compute probabilities (frames, AUs) from all draws together."""
        modalities, frames, width = self.features.shape
        noise = gumbel_selection.Noise.sample(modalities, frames, DRAWS, width)
        odds = gumbel_selection.log_odds(self.scores)
        return gumbel_voting.mean_vote(odds, self.features, self.classifier, noise, TEMPERATURE)[0]

    def draw_by_draw(self) -> Tensor:
        """Compute the same probabilities one draw after the other."""
        logs = self.scores.clamp(min=gumbel_selection.FLOOR).log()
        votes = []
        for _ in range(DRAWS):
            noise = -(-torch.rand_like(logs).log()).log()
            soft = ((logs + noise) / TEMPERATURE).softmax(0)
            hard = nn.functional.one_hot(soft.argmax(0), len(logs)).permute(2, 0, 1)
            weights = hard - soft.detach() + soft
            votes.append(self.classifier((weights * self.features).sum(0)).sigmoid())
        return torch.stack(votes).mean(0)


def step(vote) -> None:
    vote().sum().backward()


@pytest.mark.parametrize("width", [128, 512], ids=["small", "paper"])
@pytest.mark.parametrize("frames", [1, 50])
@pytest.mark.parametrize("modalities", [2, 3])
def test_sampling(measure, best_of, modalities: int, frames: int, width: int) -> None:
    torch.set_num_threads(1)
    head = Head(modalities, frames, width)
    with torch.no_grad():
        torch.testing.assert_close(head.batched(), head.draw_by_draw(), atol=0.2, rtol=0)
    seconds = best_of(lambda: step(head.draw_by_draw), 5)
    ratio = seconds / measure(step, head.batched)
    print(f"\n{modalities} modalities, {frames} frames, {width} wide: {ratio:.1f} times faster than a loop over K")
