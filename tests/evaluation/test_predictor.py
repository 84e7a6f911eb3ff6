from __future__ import annotations

import pytest
import torch

from aubench import Fidelity, Method, MethodCard, Modality, Recipe, Task
from aubench.core.conditions import Condition
from aubench.core.errors import MethodError
from aubench.evaluation.predictor import Predictor

V, D = Modality.VISUAL, Modality.DEPTH
TASK = Task((V, D), (1, 2), 16)


class Given(Method):
    """Answers what it is told to, and keeps what it saw."""

    card = MethodCard("given", "none", Fidelity.EXACT)

    def __init__(self, answer):
        super().__init__(TASK, Recipe(image_size=20, crop=16))
        self.answer = answer

    def forward(self, inputs):
        self.saw, self.was_training = dict(inputs), self.training
        return self.answer


def images(n=3):
    return {V: torch.full((n, 20, 20, 3), 255, dtype=torch.uint8), D: torch.zeros((n, 20, 20, 1), dtype=torch.uint8)}


def test_inputs_are_normalised_centre_crops_in_evaluation_mode():
    method = Given(torch.full((3, 2), 0.5)).train()
    found = Predictor(method).probabilities(images())
    assert found.shape == (3, 2) and not method.was_training and method.training
    assert method.saw[V].shape == (3, 3, 16, 16) and method.saw[D].shape == (3, 1, 16, 16)
    assert (method.saw[V] == 1).all() and (method.saw[D] == -1).all()


def test_probabilities_may_exceed_their_range_by_rounding():
    answer = torch.tensor([[1.0000002, -1e-7], [0.25, 1.0], [0.0, 0.5]])
    assert Predictor(Given(answer)).probabilities(images()).tolist() == [[1, 0], [0.25, 1], [0, 0.5]]


def test_missing_modality_is_zero_after_normalisation():
    method = Given(torch.full((3, 2), 0.5))
    Predictor(method).probabilities(images(), Condition.parse("missing:depth"))
    assert (method.saw[D] == 0).all() and (method.saw[V] == 1).all()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (torch.full((3, 1), 0.5), r"\(3, 1\) instead of \(3, 2\)"),
        (torch.full((2, 2), 0.5), "instead of"),
        (torch.tensor([[0.5, float("nan")]] * 3), "not finite"),
        (torch.full((3, 2), 1.5), "1.5"),
        (torch.full((3, 2), 1.0001), "1.0001"),
        (torch.full((3, 2), -0.1), "-0.1"),
        ([0.5], "list"),
    ],
)
def test_method_that_breaks_its_contract_is_named(answer, told):
    with pytest.raises(MethodError, match=told) as caught:
        Predictor(Given(answer)).probabilities(images())
    assert "Given" in str(caught.value)
