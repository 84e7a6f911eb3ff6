from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from aubench import Fidelity, Method, MethodCard, Modality, Progress, Recipe, Task
from aubench.core.errors import RecipeError


class Flat(Method):
    card = MethodCard("flat", "none", Fidelity.EXACT)

    def forward(self, inputs):
        return torch.full((len(inputs[Modality.DEPTH]), 1), 0.5)


def factors(schedule, epochs=4, steps=10):
    method = Flat(Task((Modality.DEPTH,), (1,), 16), Recipe(learning_rate_schedule=schedule))
    stage = method.stages()[0]
    return [
        method.learning_rate_factor(stage, Progress(e, epochs, s, steps)) for e in range(epochs) for s in range(steps)
    ]


def test_constant_schedule_changes_nothing():
    assert set(factors("constant")) == {1.0}


def test_triangular_schedule_rises_over_a_quarter_and_falls_to_almost_nothing():
    values = factors("triangular")
    assert values[0] == 0 and values[10] == 1 and max(values) == 1
    assert values[:11] == sorted(values[:11]) and values[10:] == sorted(values[10:], reverse=True)
    assert values[-1] == pytest.approx(1 / 30)


def test_paper_defaults_are_those_of_the_amf_paper():
    recipe = Recipe.from_preset("paper", {})
    assert (recipe.learning_rate, recipe.batch_size, recipe.image_size, recipe.crop) == (1e-4, 50, 256, 224)
    assert recipe.learning_rate_schedule == "constant" and recipe.flip and recipe.frames_per_epoch is None


def test_presets_of_a_subclass_add_to_those_of_its_base():
    class Mine(Recipe):
        presets: ClassVar = {"tiny": {"width": 2}, "huge": {"width": 9}}
        width: int = 4

    assert (
        Mine.from_preset("tiny", {}).width == 2
        and Mine.from_preset("tiny", {}).crop == Recipe.from_preset("tiny", {}).crop
    )
    assert Mine.from_preset("huge", {"width": "7"}).width == 7
    with pytest.raises(RecipeError, match="did you mean 'width'"):
        Mine.from_preset("tiny", {"widht": 1})
    with pytest.raises(RecipeError, match="did you mean 'huge'"):
        Mine.from_preset("hug", {})
