"""A faulty hook of a method's class ends in one line that names it."""

import re
from typing import ClassVar

import pytest
import torch
from torch import nn

import aubench
from aubench import Fidelity, Method, MethodCard, Modality, PretrainingSource, Stage, Task
from aubench.core import method_hooks
from aubench.core.errors import MethodError, RecipeError, UsageError
from aubench.core.losses import require_terms
from aubench.core.method import build_method
from aubench.core.registry import find_method
from aubench.testing.cases import Case
from aubench.testing.short_training import train_few_steps

TASK = Task((Modality.VISUAL, Modality.DEPTH), (1, 2), 16)
RECIPE = aubench.Recipe()


class Sound(Method):
    card = MethodCard("Sound", "none", Fidelity.EXACT)

    def forward(self, inputs):
        raise NotImplementedError


def with_hook(name, hook):
    return type("Mine", (Sound,), {name: classmethod(hook), "__module__": __name__})


def from_field(cls, task, recipe):
    return recipe.nothing


@pytest.mark.parametrize("hook", ["unsupported_reason", "select_modalities"])
def test_an_exception_names_the_hook_and_its_line(hook):
    call = getattr(method_hooks, hook)
    line = from_field.__code__.co_firstlineno + 1
    with pytest.raises(MethodError, match=rf"^Mine.{hook}: fails in line {line} \(AttributeError: .*'nothing'\)$"):
        call(with_hook(hook, from_field), TASK, RECIPE)


@pytest.mark.parametrize("hook", ["unsupported_reason", "select_modalities"])
def test_wrong_arguments_name_the_hook(hook):
    with pytest.raises(MethodError, match=rf"^Mine.{hook}: fails \(TypeError: .* takes 2 positional arguments"):
        getattr(method_hooks, hook)(with_hook(hook, lambda cls, task: None), TASK, RECIPE)


@pytest.mark.parametrize("value", [False, 0, "", " ", ("a",)])
def test_a_reason_is_none_or_a_text(value):
    method = with_hook("unsupported_reason", lambda cls, task, recipe: value)
    with pytest.raises(MethodError, match=r"returns .* for visual, depth, expected None or a text"):
        method_hooks.unsupported_reason(method, TASK, RECIPE)


@pytest.mark.parametrize("value", [None, "visual", (), ("depth", "visual"), ("thermal",), ("visual", "visual"), (1,)])
def test_a_selection_is_a_subset_in_order(value):
    method = with_hook("select_modalities", lambda cls, task, recipe: value)
    with pytest.raises(MethodError, match=re.escape(f"returns {value!r} for visual, depth, expected a subset")):
        method_hooks.select_modalities(method, TASK, RECIPE)


@pytest.mark.parametrize("value", [("depth",), ["depth"], [Modality.DEPTH]])
def test_names_and_lists_are_converted(value):
    method = with_hook("select_modalities", lambda cls, task, recipe: value)
    (selected,) = method_hooks.select_modalities(method, TASK, RECIPE)
    assert selected is Modality.DEPTH


@pytest.mark.parametrize("value", [None, "imagenet", ("imagenet",), (PretrainingSource("w", "affectnet"),)])
def test_sources_have_names_of_data_sets(value):
    class Recipe(aubench.Recipe):
        def pretraining_sources(self):
            return value

    with pytest.raises(MethodError, match=r"pretraining_sources: returns .* expected a tuple of PretrainingSource"):
        method_hooks.pretraining_sources(Recipe())


def test_a_faulty_recipe_names_its_class():
    class Recipe(aubench.Recipe):
        presets: ClassVar = [1]

    with pytest.raises(MethodError, match=r"^Mine.Recipe: fails \(AttributeError: 'list' .*\)$"):
        method_hooks.create_recipe(type("Mine", (Sound,), {"Recipe": Recipe}), "tiny", {})


def test_a_default_of_the_wrong_type_names_its_field():
    class Recipe(aubench.Recipe):
        width: int = "wide"

    with pytest.raises(RecipeError, match=r"^recipe key 'width': .* \(got 'wide'\)$"):
        method_hooks.create_recipe(type("Mine", (Sound,), {"Recipe": Recipe}), "tiny", {})


def test_errors_for_the_user_pass_unchanged():
    with pytest.raises(RecipeError, match="no preset 'none'"):
        method_hooks.create_recipe(Sound, "none", {})


@pytest.mark.parametrize("hook", ["unsupported_reason", "select_modalities"])
def test_a_hook_without_classmethod_is_refused_when_the_file_is_loaded(hook, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import aubench\n"
        "class Mine(aubench.Method):\n"
        "    card = aubench.MethodCard('Mine', 'none', 'exact')\n"
        f"    def {hook}(self, task, recipe): ...\n"
        "    def forward(self, inputs): ...\n"
    )
    with pytest.raises(UsageError, match=rf"Mine.{hook} is no class method; put @classmethod above it"):
        find_method(str(tmp_path / "mine.py"))


SUPERVISED, PRETRAINING = Stage("train", 2, 8), Stage("pretrain", 2, 8, pretraining=True)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (None, "returns None, expected a tuple of Stage"),
        (SUPERVISED, "returns Stage(name='train'"),
        ((), "has no supervised stage; add those of super().stages()"),
        ((PRETRAINING,), "has no supervised stage; add those of super().stages()"),
        ((SUPERVISED, PRETRAINING), "has a stage of pre-training after a supervised one; move it forward"),
        ((SUPERVISED, SUPERVISED), "has stages of equal names, train, train; rename one"),
        ((Stage("train", 0, 8),), "has a stage 'train' with epochs=0; give 1 or more, or omit the stage"),
        ((Stage("train", 1, 2.5),), "has a stage 'train' with batch_size=2.5; give"),
        ((Stage("train", 1, 8, frames_per_epoch=0),), "has a stage 'train' with frames_per_epoch=0; give"),
    ],
)
def test_stages_that_cannot_be_trained_are_refused_when_the_method_is_built(stages, message):
    method = type("Mine", (Sound,), {"stages": lambda self: stages})
    with pytest.raises(MethodError, match=f"^{re.escape(f'Mine.stages: {message}')}"):
        build_method(method, TASK, RECIPE)


@pytest.mark.parametrize(
    ("hook", "value", "message"),
    [
        ("augment", None, "returns NoneType, expected Batch"),
        ("optimizer", ([], []), "returns tuple, expected Optimizer"),
        ("learning_rate_factor", None, "returns NoneType, expected a number"),
    ],
)
def test_a_hook_that_returns_something_else_is_named(hook, value, message):
    hooks = {
        "__init__": lambda self, *words: (Method.__init__(self, *words), setattr(self, "layer", nn.Linear(1, 1)))[1]
    }
    method = type("Mine", (Sound,), {**hooks, hook: lambda self, *words: value})
    case = Case(method, TASK, aubench.Recipe(image_size=16, crop=16))
    with pytest.raises(MethodError, match=f"^Mine.{hook}: {message}; see docs/add-a-method.md$"):
        train_few_steps(case, case.build())


def test_a_fidelity_is_one_of_three():
    assert MethodCard("a", "b", "approximate").fidelity is Fidelity.APPROXIMATE
    with pytest.raises(ValueError, match="'great' is not a valid Fidelity"):
        MethodCard("a", "b", "great")


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (torch.zeros(()), "returns Tensor, expected a dictionary of tensors"),
        (None, "returns NoneType, expected a dictionary of tensors"),
        ({"total": 0.5}, "returns dict, expected a dictionary of tensors"),
        ({}, "returns no scalar 'total', but {}"),
        ({"loss": torch.zeros(2, 3)}, "returns no scalar 'total', but loss (2, 3)"),
        ({"total": torch.zeros(4)}, "returns no scalar 'total', but total (4,)"),
        ({"total": torch.zeros(()), "aus": torch.zeros(4)}, "returns the term 'aus' of shape (4,), expected names and"),
        ({"total": torch.zeros(()), 0: torch.zeros(())}, "returns the term 0 of shape (), expected names and scalars"),
    ],
)
def test_a_loss_has_a_scalar_total(terms, message):
    with pytest.raises(MethodError, match=f"^{re.escape(f'Sound.loss: {message}')}.*; return {{"):
        require_terms(terms, Sound(TASK, RECIPE))
