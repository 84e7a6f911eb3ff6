"""Spaces come from recipes, and are refused before a trial where they make no sense."""

import json
from functools import partial
from itertools import chain, combinations
from typing import Annotated

import pytest
from pydantic import Field

from aubench import Categorical, IntUniform, LogUniform, Recipe, Uniform
from aubench.core import registry
from aubench.core.errors import RecipeError, UsageError
from aubench.runs.config import RunConfig
from aubench.runs.run_options import RunOptions
from aubench.tuning.search_config import SearchConfig
from aubench.tuning.space import Space


@pytest.mark.parametrize("method", registry.builtin_methods())
def test_every_method_can_be_searched_from_every_preset(method, script):
    recipe = registry.find_method(method).method_class.Recipe
    for preset in recipe.all_presets():
        space = Space.of(recipe, preset, {}, None)
        preset_values = recipe.from_preset(preset, {}).model_dump(mode="json")
        assert "learning_rate" in space.ranges and space.restrict(preset_values).keys() == space.ranges.keys()
        assert ("weight_decay" in space.ranges) == (preset_values["weight_decay"] > 0)
        trial = script()
        drawn = recipe.from_preset(preset, space.draw(trial))
        assert trial.asked == list(space.ranges)
        assert drawn != recipe.from_preset(preset, {})


@pytest.mark.parametrize("method", registry.builtin_methods())
def test_the_first_trial_is_the_preset_of_every_method_with_any_modalities(method):
    optuna = pytest.importorskip("optuna")
    protocol, entry = registry.find_protocol("synth_vdt_3fold"), registry.find_method(method)
    tried = 0
    for preset in entry.method_class.Recipe.all_presets():
        for modalities in chain.from_iterable(combinations(protocol.modalities, n) for n in (1, 2, 3)):
            narrowed = protocol.narrowed(modalities)
            if entry.unsupported_reason(narrowed, entry.create_recipe(preset, {})) is not None:
                continue
            base = RunConfig.create(method, narrowed, None, RunOptions(preset))
            unsupported_reason = partial(entry.unsupported_reason, narrowed)
            space = Space.of(entry.method_class.Recipe, preset, {}, None, unsupported_reason)
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
            study.enqueue_trial(space.restrict(base.recipe))
            search = SearchConfig("preset", base, {}, (1,), space, 0, "random", "none")
            assert search.trial_config(space.draw(study.ask())).recipe == base.recipe
            tried += 1
    assert tried >= 3


def test_a_field_whose_preset_is_outside_of_its_range_is_searched_only_by_name(search_for):
    assert "weight_decay" not in search_for().space.ranges
    assert "weight_decay" in search_for(preset="tiny", method="mcm").space.ranges
    named = search_for(space=["learning_rate", "weight_decay"])
    assert list(named.space.ranges) == ["learning_rate", "weight_decay"]
    assert named.space.outside(named.base_config.recipe) == {"weight_decay": 0.0}


@pytest.mark.parametrize("method", registry.builtin_methods())
def test_no_range_of_ours_changes_what_is_pretrained(method, script):
    """So that all trials of a search share their pre-trained weights."""
    recipe = registry.find_method(method).method_class.Recipe
    pretrains = any("pretrain" in name for name in recipe.model_fields)
    assert not pretrains or set(recipe.search_ranges()) <= recipe.finetune_fields()


def test_fields_can_be_asked_for_or_fixed(script):
    recipe = registry.find_method("amf").method_class.Recipe
    space = Space.of(recipe, "tiny", {}, ["temperature", "learning_rate"])
    assert list(space.ranges) == ["temperature", "learning_rate"]
    assert "learning_rate" not in Space.of(recipe, "tiny", {"learning_rate": 1e-3}, None).ranges
    with pytest.raises(UsageError, match="'samples' has no range; those with one: learning_rate, "):
        Space.of(recipe, "tiny", {}, ["samples"])
    with pytest.raises(UsageError, match="fixed by --set"):
        Space.of(recipe, "tiny", {"temperature": 1}, ["temperature"])
    with pytest.raises(UsageError, match="nothing to search"):
        Space.of(
            recipe,
            "tiny",
            {name: recipe.from_preset("tiny", {}).model_dump()[name] for name in recipe.search_ranges()},
            None,
        )


def test_each_kind_of_range_is_suggested_as_such():
    class Four(Recipe):
        uniform: Annotated[float, Uniform(0, 1)] = 0.5
        integer: Annotated[int, IntUniform(1, 64, log=True)] = 8
        word: Annotated[str, Categorical("a", "b")] = "a"

    calls = []

    class Trial:
        def suggest_float(self, name, low, high, *, log=False):
            calls.append((name, low, high, log))

        def suggest_int(self, name, low, high, *, log=False):
            calls.append((name, low, high, log))

        def suggest_categorical(self, name, choices):
            calls.append((name, choices))

    Space.of(Four, "tiny", {}, ["learning_rate", "uniform", "integer", "word"]).draw(Trial())
    assert calls == [
        ("learning_rate", 1e-5, 3e-2, True),
        ("uniform", 0, 1, False),
        ("integer", 1, 64, True),
        ("word", ("a", "b")),
    ]


@pytest.mark.parametrize(
    ("domain", "message"), [(Uniform(1, 0), "not below"), (LogUniform(1e-3, 2), "must be at most 1")]
)
def test_a_range_that_makes_no_sense_names_its_field(domain, message):
    class Bad(Recipe):
        share: Annotated[float, domain] = Field(0.5, le=1)

    with pytest.raises(RecipeError, match=f"search range of recipe key 'share': .*{message}"):
        Space.of(Bad, "tiny", {}, None)


@pytest.mark.parametrize("method", registry.builtin_methods())
def test_as_plain_data_it_survives_a_storage(method):
    space = Space.of(registry.find_method(method).method_class.Recipe, "tiny", {}, None)
    assert json.loads(json.dumps(space.to_dict())) == space.to_dict()


def test_a_subclass_gives_its_own_range():
    class Narrow(Recipe):
        learning_rate: Annotated[float, LogUniform(1e-3, 1e-2)] = Field(1e-3, gt=0)

    assert Narrow.search_ranges()["learning_rate"] == LogUniform(1e-3, 1e-2)
    assert Narrow.search_ranges()["weight_decay"] == Recipe.search_ranges()["weight_decay"]


@pytest.mark.parametrize("names", [None, ["cut_switch", "learning_rate"]])
def test_fields_whose_values_the_task_does_not_support_are_not_searched(search_for, names):
    """Cut-switch needs two modalities."""
    protocol = registry.find_protocol("synth_3fold")
    assert "cut_switch" in search_for(space=names).space.ranges
    visual = protocol.narrowed(["visual"])
    if names is None:
        ranges = search_for(protocol=visual).space.ranges
        assert "cut_switch" not in ranges and "learning_rate" in ranges
    else:
        with pytest.raises(UsageError, match="'cut_switch' cannot be searched: its recipe's cut_switch needs two"):
            search_for(protocol=visual, space=names)
