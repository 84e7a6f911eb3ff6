"""Catalogue of the built-in methods: it says what their classes say, and needs no PyTorch."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest

from aubench.core import method_catalogue, registry
from aubench.core.task import Modality, Task
from aubench.evaluation.flops import count_flops
from aubench.papers import catalogue_writer

HINT = "run `aubench methods --catalogue methods/catalogue.json`"


def test_it_has_every_built_in_method():
    assert list(method_catalogue.content()) == registry.builtin_methods(), HINT


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.builtin_methods())
def test_cards_presets_and_stages_are_those_of_the_class(name):
    stored = method_catalogue.content()[name]
    fields = catalogue_writer.method_fields(registry.find_method(name), stored, with_costs=False)
    for preset, facts in fields["presets"].items():
        facts["costs"] = stored["presets"].get(preset, {}).get("costs")
    assert fields == stored, HINT


@pytest.mark.parametrize("name", ["resnet_depth", "early_fusion", pytest.param("mcm", marks=pytest.mark.slow)])
def test_costs_are_those_of_the_class(name):
    method, preset = registry.find_method(name).method_class, "tiny"
    recipe = method.Recipe.from_preset(preset, {})
    stored = method_catalogue.builtin_facts()[name].presets[preset]
    protocol = registry.find_protocol("synth_3fold")
    used = stored.used[",".join(protocol.modalities)].split(",")
    task = Task(tuple(map(Modality, used)), protocol.aus, recipe.crop)
    costs = catalogue_writer.costs_of(count_flops(method, task, recipe))
    assert {part: tuple(pair) for part, pair in costs.items()} == stored.costs[
        method_catalogue.cost_key(used, len(protocol.aus))
    ], HINT


@pytest.mark.slow
def test_presets_of_a_version_that_is_no_longer_present_are_kept():
    entry = registry.find_method("amf")
    stored = method_catalogue.content()["amf"] | {"version": entry.version - 1, "earlier": {}}
    fields = catalogue_writer.method_fields(entry, stored, with_costs=False)
    assert fields["earlier"] == {str(entry.version - 1): {name: [facts] for name, facts in stored["presets"].items()}}


@pytest.mark.slow
def test_a_preset_that_changes_keeps_its_earlier_recipe():
    entry, stored = registry.find_method("amf"), copy.deepcopy(method_catalogue.content()["amf"]) | {"earlier": {}}
    stored["presets"]["small"]["recipe"]["epochs"] = 3
    earlier = catalogue_writer.method_fields(entry, stored, with_costs=False)["earlier"]
    assert earlier[str(entry.version)] == {"small": [stored["presets"]["small"]]}


@pytest.mark.slow
def test_reading_it_needs_no_pytorch():
    code = "import sys; from aubench.leaderboard import verify; from aubench.core import method_catalogue as m; "
    code += "m.builtin_facts(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
