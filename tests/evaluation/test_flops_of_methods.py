"""What built-in methods cost per frame with their papers' recipes, against the sums of their parts."""

import pytest

from aubench import Modality, Task
from aubench.core.registry import find_method
from aubench.evaluation import flops

AUS = tuple(range(1, 13))
V, D, T = Modality
RESNET18 = 2 * 1.8136e9


def cost(name, modalities, **changes):
    method = find_method(name).method_class
    recipe = method.Recipe.from_preset("paper", changes)
    return flops.count_flops(method, Task(modalities, AUS, recipe.crop), recipe)


@pytest.mark.slow
@pytest.mark.parametrize("modalities", [(V, D), (V, D, T)])
def test_amf_costs_a_resnet18_for_each_modality_and_hardly_more(modalities):
    found = cost("amf", modalities, weights="none")
    assert found.total.flops == pytest.approx(len(modalities) * RESNET18, rel=2e-3)
    scoring, votes = len(modalities) * 2 * 512 * 512, 100 * 512 * len(AUS)
    assert found.parts["fusion"].macs == scoring + votes


@pytest.mark.slow
def test_au_vmae_costs_what_its_paper_prints_only_as_multiply_accumulates():
    assert cost("au_vmae", (V,), weights="none", level="frame").total.macs == pytest.approx(2.81e9, rel=5e-3)
