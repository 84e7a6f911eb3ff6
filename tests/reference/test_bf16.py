"""Under bfloat16 autocast the methods keep probabilities, counts and losses in float32."""

import pytest
import torch
from factories.paper_methods import PAPER_METHODS

from aubench import Batch, Modality, Progress, Task
from aubench.core import registry
from aubench.methods._modules import au_pair_statistics, ssa_loss

V, D, T = Modality
AUS = (1, 2, 4)
SURE = 12.0
"""A logit whose sigmoid is 1 in bfloat16 and below 1 in float32."""


def build(name):
    """A small method whose classifiers are sure that every AU is there, and its modalities."""
    method = registry.find_method(name).method_class
    recipe = method.Recipe.from_preset("tiny", {})
    tasks = (Task(modalities, AUS, recipe.crop) for modalities in ((V, D), (T,)))
    offered = next(task for task in tasks if not method.unsupported_reason(task, recipe))
    torch.manual_seed(0)
    result = method(Task(method.select_modalities(offered, recipe), AUS, recipe.crop), recipe)
    for bias in biases(result).values():
        torch.nn.init.constant_(bias, SURE)
    return result


def biases(method):
    """Return the biases of the classifiers."""
    actual = {
        name: p
        for name, p in method.named_parameters()
        if name.split(".")[0] in ("classifier", "classifiers", "head") and name.endswith("bias") and p.shape == (3,)
    }
    assert actual
    return actual


def images_of(method):
    recipe, length = method.recipe, method.recipe.clip_length
    shape = (4,) if length is None else (2, length)
    generator = torch.Generator().manual_seed(1)
    side = recipe.crop
    return {m: torch.rand(*shape, m.channels, side, side, generator=generator) * 2 - 1 for m in method.task.modalities}


def terms_of(method, stage, *, narrow):
    """Terms of a loss on labels that are all absent, and the gradient of each classifier's bias."""
    images = images_of(method)
    labels = torch.full((*next(iter(images.values())).shape[:-3], len(AUS)), -1 if stage.pretraining else 0)
    method.train().zero_grad()
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        batch = method.augment(Batch(images, labels), torch.Generator().manual_seed(3))
        terms = method.loss(batch, stage, Progress(stage.epochs - 1, stage.epochs, 0, 1))
    terms["total"].backward()
    return terms, {name: p.grad for name, p in biases(method).items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER_METHODS)
def test_losses_are_those_of_float32(name):
    method = build(name)
    for stage in method.stages():
        exact, _ = terms_of(method, stage, narrow=False)
        terms, _ = terms_of(method, stage, narrow=True)
        assert {value.dtype for value in terms.values()} == {torch.float32}
        assert all(value.isfinite() for value in terms.values())
        torch.testing.assert_close(terms["total"], exact["total"], rtol=0.03, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER_METHODS)
def test_who_is_sure_and_wrong_still_learns(name):
    method = build(name)
    stage = method.stages()[-1]
    _, exact = terms_of(method, stage, narrow=False)
    _, actual = terms_of(method, stage, narrow=True)
    for key, gradient in actual.items():
        assert (exact[key] > 0).all(), f"{key}: the test asks for nothing"
        torch.testing.assert_close(gradient, exact[key], rtol=0.1, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER_METHODS)
def test_probabilities_are_those_of_float32(name):
    method = build(name).eval()
    images = images_of(method)
    with torch.no_grad():
        exact = method(images)
        with torch.autocast("cpu", torch.bfloat16):
            actual = method(images)
    assert actual.dtype == torch.float32
    assert (actual < 1).all()
    torch.testing.assert_close(actual.logit(), exact.logit(), rtol=0, atol=0.3)


def test_counts_beyond_256_are_exact():
    frames = 1000
    states = (torch.arange(frames)[:, None] % torch.tensor([2, 3, 5]) == 0).float()
    with torch.autocast("cpu", torch.bfloat16):
        c = au_pair_statistics.co_occurrence(states)
        s = au_pair_statistics.transitions(states[:-1], states[1:])
    both = sum(n % 2 == 0 and n % 3 == 0 for n in range(frames))
    either = sum(n % 2 == 0 or n % 3 == 0 for n in range(frames))
    ends_both = sum(n % 2 == 0 and n % 3 == 0 for n in range(frames - 1))
    assert c[0, 1].item() == pytest.approx(both / either, rel=1e-6)
    assert s[0, 1, 0b0011].item() == pytest.approx(ends_both / (frames - 1), rel=1e-6)


def test_correlations_are_exact():
    maps = torch.randn(2, 64, 3, 3, generator=torch.Generator().manual_seed(4))
    exact = ssa_loss.correlations(maps, 0.25)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ssa_loss.correlations(maps, 0.25), exact)
