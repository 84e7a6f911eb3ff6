"""AMF's mean vote, eq. (9), and its straight-through gradient against a loop over the draws."""

import pytest
import torch
from torch import nn

from aubench.methods._modules import gumbel_selection, gumbel_voting

FRAMES, DRAWS, WIDTH, AUS, TEMPERATURE = 5, 7, 6, 4, 0.7


class Case:
    """Scores, features, noise and a classifier in double precision, with the gradients' leaves."""

    def __init__(self, modalities):
        torch.manual_seed(modalities)
        self.scores = torch.rand(modalities, FRAMES, WIDTH, dtype=torch.double, requires_grad=True)
        self.features = torch.randn(modalities, FRAMES, WIDTH, dtype=torch.double, requires_grad=True)
        self.classifier = nn.Linear(WIDTH, AUS).double()
        samples = gumbel_selection.Noise.sample(modalities, FRAMES, DRAWS, WIDTH)
        self.noise = gumbel_selection.Noise(samples.by_draw.double(), samples.by_frame.double(), DRAWS)
        self.above = torch.randn(FRAMES, AUS, dtype=torch.double)

    def gradients(self, votes):
        leaves = (self.scores, self.features, *self.classifier.parameters())
        return torch.autograd.grad((votes * self.above).sum(), leaves)

    def actual(self):
        odds = gumbel_selection.log_odds(self.scores)
        return gumbel_voting.mean_vote(odds, self.features, self.classifier, self.noise, TEMPERATURE)[0]

    def naive(self):
        """Draw by draw, with autograd."""
        planes = self.noise.differences()
        gumbels = torch.cat([planes, torch.zeros_like(planes[:1])])
        votes = []
        for k in range(DRAWS):
            values = self.scores.log() + gumbels[:, :, k]
            soft = (values / TEMPERATURE).softmax(0)  # eq. (6)
            hard = nn.functional.one_hot(values.argmax(0), len(values)).permute(2, 0, 1)  # eq. (4)
            weights = hard - soft.detach() + soft
            votes.append(self.classifier((weights * self.features).sum(0)).sigmoid())
        return torch.stack(votes).mean(0)


@pytest.fixture(params=[2, 3])
def case(request):
    return Case(request.param)


@pytest.mark.parametrize("at_once", [1, 2 * DRAWS * WIDTH, 2**20], ids=["one frame", "two frames", "all frames"])
def test_votes_and_gradients_are_those_of_a_loop_over_draws(case, at_once, monkeypatch):
    monkeypatch.setattr(gumbel_voting, "_CACHED", at_once)
    actual, expected = case.actual(), case.naive()
    torch.testing.assert_close(actual, expected)
    for ours, theirs in zip(case.gradients(actual), case.gradients(expected), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_gradient_of_selected_features_is_the_slope(case):
    odds = gumbel_selection.log_odds(case.scores).detach()

    def votes(features):
        return gumbel_voting.mean_vote(odds, features, case.classifier, case.noise, TEMPERATURE)[0]

    assert torch.autograd.gradcheck(votes, case.features)


def test_low_precision_around_it_changes_nothing(case):
    case.classifier.float()
    samples = gumbel_selection.Noise(case.noise.by_draw.float(), case.noise.by_frame.float(), DRAWS)
    odds, features = gumbel_selection.log_odds(case.scores.float()).detach(), case.features.detach().float()
    alone = gumbel_voting.mean_vote(odds, features, case.classifier, samples, TEMPERATURE)[0]
    with torch.autocast("cpu", torch.bfloat16):
        within = gumbel_voting.mean_vote(odds, features, case.classifier, samples, TEMPERATURE)[0]
    assert within.dtype == torch.float32
    torch.testing.assert_close(within, alone)


def test_low_precision_features_are_taken(case):
    case.classifier.float()
    samples = gumbel_selection.Noise(case.noise.by_draw.float(), case.noise.by_frame.float(), DRAWS)
    features = case.features.detach().bfloat16().requires_grad_()
    odds = gumbel_selection.log_odds(case.scores.float()).detach()
    gumbel_voting.mean_vote(odds, features, case.classifier, samples, TEMPERATURE)[0].sum().backward()
    assert features.grad.dtype == torch.bfloat16
    assert features.grad.any()
