"""Facts of the built-in methods and their presets, read without PyTorch from ``catalogue.json`` beside the methods."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

FILE = "catalogue.json"


@dataclass(frozen=True)
class PresetFacts:
    """Facts of a preset of a method.

    Attributes:
        recipe: All recipe values.
        sources: Source and data sets of each of the initial weights.
        stages: Names of the pre-training stages, with whether the stage uses all subjects.
        used: Modalities that the method uses, by the offered ones, joined by commas. Modalities that the method does
            not support are missing.
        costs: Multiply-accumulates and parameters of the total and of each part, by :func:`cost_key`.
    """

    recipe: Mapping[str, Any]
    sources: tuple[tuple[str, tuple[str, ...]], ...]
    stages: Mapping[str, bool]
    used: Mapping[str, str]
    costs: Mapping[str, Mapping[str, tuple[int, int]]]

    def changed_values(self, recipe: Mapping[str, Any]) -> frozenset[str]:
        """Return the names of the values of the preset that a recipe with the same names has changed."""
        return frozenset(name for name, value in self.recipe.items() if json.dumps(recipe[name]) != json.dumps(value))


@dataclass(frozen=True)
class MethodFacts:
    """Facts of a built-in method.

    Attributes:
        title, paper, fidelity: As of the method's card.
        version: Present version.
        training_fields: Recipe fields that affect neither the model nor its pre-training.
        presets: Presets of the present version, by name.
        earlier: Recipes that presets had before, by version and name.
    """

    title: str
    paper: str
    fidelity: str
    version: int
    training_fields: frozenset[str]
    presets: Mapping[str, PresetFacts]
    earlier: Mapping[int, Mapping[str, tuple[PresetFacts, ...]]]

    def presets_of(self, version: int) -> Mapping[str, tuple[PresetFacts, ...]]:
        """Return the known recipes of each preset of a version."""
        earlier = self.earlier.get(version, {})
        present = self.presets if version == self.version else {}
        names = [*present, *(name for name in earlier if name not in present)]
        return {name: (*filter(None, [present.get(name)]), *earlier.get(name, ())) for name in names}


def cost_key(modalities: Iterable[str], aus: int, landmarks: int = 0) -> str:
    """Return the key of a cost: the used modalities, the number of AUs, and that of landmarks in training."""
    return f"{','.join(modalities)}/{aus}" + (f"/{landmarks}" if landmarks else "")


def content() -> dict[str, Any]:
    """Return the content of the file."""
    text = resources.files("aubench.methods").joinpath(FILE).read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


@cache
def builtin_facts() -> dict[str, MethodFacts]:
    """Return the facts of all built-in methods, by name."""
    return {name: _facts(fields) for name, fields in content().items()}


def _facts(fields: Mapping[str, Any]) -> MethodFacts:
    return MethodFacts(
        fields["title"],
        fields["paper"],
        fields["fidelity"],
        fields["version"],
        frozenset(fields["training_fields"]),
        {name: _preset(preset) for name, preset in fields["presets"].items()},
        {
            int(version): {name: tuple(map(_preset, recipes)) for name, recipes in presets.items()}
            for version, presets in fields["earlier"].items()
        },
    )


def _preset(fields: Mapping[str, Any]) -> PresetFacts:
    return PresetFacts(
        fields["recipe"],
        tuple((source, tuple(datasets)) for source, datasets in fields["sources"]),
        fields["stages"],
        fields["used"],
        {key: {part: (cost[0], cost[1]) for part, cost in parts.items()} for key, parts in fields["costs"].items()},
    )
