"""Gradients of classification losses where a method is certain and wrong."""

import re

import pytest
import torch
from factories.paper_methods import PAPER_METHODS

from aubench import Batch, Fidelity, Method, MethodCard, Modality, Progress, Recipe, Task, masked_bce
from aubench.core import registry

V, D = Modality.VISUAL, Modality.DEPTH
AUS = (1, 2, 4)
LAST_BIAS = re.compile(r"^(classifiers?|head)\b.*bias$")


def certain(name, logit, **changes):
    """A small method of two frames or clips that answers every AU with a logit, whatever it sees."""
    method = registry.find_method(name).method_class
    small = {"clip_frames": 8, "segment": 8, "weights": "none", "image_size": 32, "crop": 32, "patch": 16}
    small = {key: value for key, value in small.items() if key in method.Recipe.model_fields}
    if "cut_switch_block" in method.Recipe.model_fields:
        small["cut_switch_block"] = 8
    recipe = method.Recipe.from_preset("tiny", {**small, **changes})
    offered = next(
        task
        for modalities in ((V, D), (V,), (D,), (Modality.THERMAL,))
        if method.unsupported_reason(task := Task(modalities, AUS, 32), recipe) is None
    )
    torch.manual_seed(0)
    built = method(Task(method.select_modalities(offered, recipe), AUS, 32), recipe)
    biases = {n: p for n, p in built.named_parameters() if LAST_BIAS.match(n) and len(p) == len(AUS)}
    with torch.no_grad():
        for parameter_name, bias in biases.items():
            built.get_parameter(parameter_name.replace("bias", "weight")).zero_()
            bias.fill_(logit)
    return built, biases


@pytest.mark.parametrize("logit", [17.0, -17.0, 30.0, 100.0, -100.0, 1000.0])
@pytest.mark.parametrize("name", PAPER_METHODS)
def test_a_certain_wrong_answer_of_any_method_has_a_gradient(name, logit):
    method, biases = certain(name, logit)
    frames = (2,) if method.recipe.clip_length is None else (2, method.recipe.clip_length)
    inputs = {m: torch.rand(*frames, m.channels, 32, 32) * 2 - 1 for m in method.task.modalities}
    labels = torch.full((*frames, len(AUS)), int(logit < 0))
    (*_, stage) = method.stages()
    method.on_train_labels([labels] if len(frames) == 1 else list(labels))
    total = method.loss(Batch(inputs, labels), stage, Progress(0, stage.epochs, 0, 1))["total"]
    total.backward()
    assert biases and torch.isfinite(total)
    for bias in biases.values():
        assert (bias.grad * torch.sign(torch.tensor(logit)) > 0.01).all()


class Plain(Method):
    """One layer on colours, with or without logits for the default loss."""

    card = MethodCard(title="Plain", paper="None", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe, certainty=0.0):
        super().__init__(task, recipe)
        self.bias = torch.nn.Parameter(torch.full((len(task.aus),), certainty))

    def forward(self, inputs):
        return self.bias.sigmoid().expand(len(inputs[V]), -1)


class WithLogits(Plain):
    def forward_logits(self, inputs):
        return self.bias.expand(len(inputs[V]), -1)


def default_loss(method_class, logit, label):
    method = method_class(Task((V,), AUS, 8), Recipe(crop=16), logit)
    labels = torch.full((2, len(AUS)), label)
    (stage,) = method.stages()
    loss = method.loss(Batch({V: torch.zeros(2, 3, 8, 8)}, labels), stage, Progress(0, 1, 0, 1))["total"]
    loss.backward()
    return loss.item(), method.bias.grad


@pytest.mark.parametrize(("logit", "label"), [(50.0, 0), (-50.0, 1)])
def test_the_default_loss_of_a_method_with_logits_has_a_gradient(logit, label):
    loss, gradient = default_loss(WithLogits, logit, label)
    assert loss == pytest.approx(50, abs=1e-4) and torch.allclose(gradient.abs(), torch.full((3,), 1 / 3))


@pytest.mark.parametrize("label", [0, 1, -1])
def test_losses_of_logits_and_of_probabilities_agree(label):
    for logit in (-3.0, 0.0, 0.5, 3.0):
        (first, first_gradient), (second, second_gradient) = (
            default_loss(c, logit, label) for c in (Plain, WithLogits)
        )
        assert first == pytest.approx(second, abs=1e-6)
        torch.testing.assert_close(first_gradient, second_gradient, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("probability", "label"), [(0.0, 1), (1e-12, 1), (1.0, 0)])
def test_a_wrong_probability_has_a_gradient_though_the_loss_has_a_limit(probability, label):
    probabilities = torch.tensor([[probability]], requires_grad=True)
    loss = masked_bce(probabilities, torch.tensor([[label]]))
    loss.backward()
    assert 16 < loss.item() < 17 and torch.isfinite(probabilities.grad).all() and probabilities.grad.abs().item() > 1
