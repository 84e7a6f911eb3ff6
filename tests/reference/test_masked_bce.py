"""Eq. 7 of AMF over known labels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aubench import masked_bce

CELL = st.tuples(st.floats(0.01, 0.99), st.sampled_from([-1, 0, 1]))


@pytest.mark.slow
@given(st.lists(CELL, min_size=1, max_size=12))
def test_it_is_the_mean_over_known_labels(cells):
    terms = [-math.log(p if y == 1 else 1 - p) for p, y in cells if y >= 0]
    actual = masked_bce(torch.tensor([[p for p, _ in cells]]), torch.tensor([[y for _, y in cells]]))
    assert actual.item() == pytest.approx(sum(terms) / len(terms) if terms else 0.0, rel=1e-4, abs=1e-6)


def test_unknown_labels_give_no_gradient():
    probabilities = torch.tensor([[0.2, 0.7, 0.9]], requires_grad=True)
    masked_bce(probabilities, torch.tensor([[-1, 1, -1]])).backward()
    assert (probabilities.grad != 0).tolist() == [[False, True, False]]


def test_certainty_that_is_wrong_costs_much_but_not_infinitely():
    assert 10 < masked_bce(torch.tensor([[0.0]]), torch.tensor([[1]])).item() < 20
