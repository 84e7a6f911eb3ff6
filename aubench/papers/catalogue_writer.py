"""Catalogue of the built-in methods: the facts of their classes that leaderboards compare records with.

``aubench methods --catalogue FILE`` writes it, and :mod:`aubench.core.method_catalogue` reads it without PyTorch.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from aubench.core import landmarks as facial_points
from aubench.core import registry
from aubench.core.method import Method, build_method
from aubench.core.method_catalogue import cost_key
from aubench.core.registry import MethodEntry
from aubench.core.task import Modality, Task
from aubench.evaluation.flops import count_flops
from aubench.results.run_costs import Compute

_NESTED = 4
"""Levels of the file with a line for each value."""


def catalogue(present: Mapping[str, Any]) -> dict[str, Any]:
    """Return the catalogue of the installed built-in methods.

    Args:
        present: Catalogue to replace. The presets of earlier versions are copied from it.
    """
    names = registry.builtin_methods()
    return {name: method_fields(registry.find_method(name), present.get(name, {})) for name in names}


def method_fields(entry: MethodEntry, present: Mapping[str, Any], *, with_costs: bool = True) -> dict[str, Any]:
    """Return the facts of a method.

    Args:
        entry: Method.
        present: Facts of the method to replace.
        with_costs: Whether to count operations and parameters, which takes seconds.
    """
    method, card = entry.method_class, entry.method_class.card
    presets = {name: _preset(method, name, with_costs) for name in method.Recipe.all_presets()}
    return {
        "title": card.title,
        "paper": card.paper,
        "fidelity": str(card.fidelity),
        "version": entry.version,
        "training_fields": sorted(method.Recipe.finetune_fields()),
        "presets": presets,
        "earlier": _earlier(entry.version, presets, present),
    }


def _earlier(version: int, presets: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the earlier recipes of presets: those of the stored facts, and their present ones that have changed."""
    earlier: dict[str, dict[str, list[Any]]] = copy.deepcopy(dict(stored.get("earlier", {})))
    for name, preset in stored.get("presets", {}).items():
        if stored["version"] != version or preset["recipe"] != presets.get(name, {}).get("recipe"):
            recipes = earlier.setdefault(str(stored["version"]), {}).setdefault(name, [])
            recipes += [preset] if preset not in recipes else []
    return earlier


def to_text(content: Mapping[str, Any]) -> str:
    """Format a catalogue as JSON."""
    return _format(content, _NESTED) + "\n"


def _format(value: Any, levels: int) -> str:
    if not levels or not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    indent = " " * (_NESTED - levels + 1)
    lines = [f"{indent}{json.dumps(key)}: {_format(item, levels - 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + "\n" + indent[1:] + "}"


def _preset(method: type[Method], preset: str, with_costs: bool) -> dict[str, Any]:
    recipe = method.Recipe.from_preset(preset, {})
    sets = [chosen for size in range(1, len(Modality) + 1) for chosen in itertools.combinations(Modality, size)]
    offered = [Task(modalities, tuple(range(1, 13)), recipe.crop) for modalities in sets]
    supported = [task for task in offered if method.unsupported_reason(task, recipe) is None]
    used = {task.modalities: method.select_modalities(task, recipe) for task in supported}
    counts = (0, facial_points.COUNT) if method.needs_landmarks else (0,)
    tasks = [
        replace(supported[0], modalities=modalities, aus=tuple(range(1, aus + 1)), landmarks=landmarks)
        for modalities in dict.fromkeys(used.values())
        for aus in sorted({len(registry.find_protocol(name).aus) for name in registry.builtin_protocols()})
        for landmarks in counts
    ]
    with torch.device("meta"):
        stages = build_method(method, tasks[0], recipe).stages()
    return {
        "recipe": recipe.model_dump(mode="json"),
        "sources": [[source.source, list(source.datasets)] for source in recipe.pretraining_sources()],
        "stages": {stage.name: stage.include_all_subjects for stage in stages if stage.pretraining},
        "used": {",".join(modalities): ",".join(chosen) for modalities, chosen in used.items()},
        "costs": {
            cost_key(task.modalities, len(task.aus), task.landmarks): costs_of(count_flops(method, task, recipe))
            for task in tasks
            if with_costs
        },
    }


def costs_of(compute: Compute) -> dict[str, list[int]]:
    """Return multiply-accumulates and parameters of the total and of each part."""
    return {name: [cost.macs, cost.parameters] for name, cost in {"total": compute.total, **compute.parts}.items()}
