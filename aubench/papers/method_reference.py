"""Reference page of methods: cost, fidelity, recipe and deviations from the paper."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from string import Template

from tabulate import tabulate

from aubench.core.recipe import Recipe
from aubench.core.registry import MethodEntry, find_method
from aubench.core.task import Modality, Task
from aubench.evaluation.flops import count_flops
from aubench.leaderboard.tables import modality_code
from aubench.results.run_costs import Compute

AUS = 12
"""Number of AUs for which costs are counted."""
_TEMPLATE = Path(__file__).parent / "templates" / "methods.md"
_SETS = ("V", "D", "T", "V+D", "V+D+T")
"""Sets of modalities in the table of costs."""
_PRESETS = ("paper", "tiny", "small")
"""Presets with a column in the tables of recipes."""


def used_tasks(entry: MethodEntry, recipe: Recipe) -> list[Task]:
    """Return the task of each distinct set of modalities that the method uses, largest first."""
    method = entry.method_class
    sizes = range(len(Modality), 0, -1)
    sets = itertools.chain.from_iterable(itertools.combinations(Modality, size) for size in sizes)
    offered = [Task(modalities, tuple(range(1, AUS + 1)), recipe.crop) for modalities in sets]
    supported = [task for task in offered if method.unsupported_reason(task, recipe) is None]
    return list(dict.fromkeys(replace(task, modalities=method.select_modalities(task, recipe)) for task in supported))


def page(names: Sequence[str]) -> str:
    """Return the page of some methods in Markdown."""
    entries = [find_method(name) for name in names]
    sections = "\n\n".join(map(_section, entries))
    text = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return text.substitute(methods=_table(entries), costs=_cost_table(entries), sections=sections)


def _table(entries: Sequence[MethodEntry]) -> str:
    rows = []
    for entry in entries:
        card = entry.method_class.card
        rows.append((f"[`{entry.name}`](#{entry.name})", card.title, str(card.fidelity), _paper(entry)))
    return _markdown(("method", "title", "fidelity", "paper"), rows)


def _cost_table(entries: Sequence[MethodEntry]) -> str:
    rows = []
    for entry in entries:
        tiny = dict(_costs(entry, "tiny"))
        for letters, compute in _costs(entry, "paper"):
            rows.append((f"`{entry.name}`", letters, *_cells(compute), *_cells(tiny[letters])[::2]))
    return _markdown(
        ("method", "modalities", "GFLOPs", "GMACs", "M parameters", "GFLOPs of `tiny`", "M parameters of `tiny`"), rows
    )


def _costs(entry: MethodEntry, preset: str) -> Iterator[tuple[str, Compute]]:
    recipe = entry.method_class.Recipe.from_preset(preset, {})
    for task in used_tasks(entry, recipe):
        if (letters := modality_code(task.modalities)) in _SETS:
            yield letters, count_flops(entry.method_class, task, recipe)


def _cells(compute: Compute) -> tuple[str, str, str]:
    total = compute.total
    return f"{total.flops / 1e9:.3g}", f"{total.macs / 1e9:.3g}", f"{total.parameters / 1e6:.3g}"


def _section(entry: MethodEntry) -> str:
    card = entry.method_class.card
    parts = [f"## {entry.name}", f"{card.title}. {_paper(entry)}. Fidelity: {card.fidelity}."]
    parts.append("\n".join(f"- {sentence}" for sentence in card.deviations) or "No deviations from the paper.")
    parts.append(_recipe_table(entry.method_class.Recipe))
    for preset, changes in entry.method_class.Recipe.all_presets().items():
        if preset not in _PRESETS:
            values = ", ".join(f"`{name}={_value(value)}`" for name, value in changes.items())
            parts.append(f"The preset `{preset}` changes {values} of `paper`.")
    return "\n\n".join(parts)


def _recipe_table(recipe: type[Recipe]) -> str:
    presets = [recipe.from_preset(preset, {}).model_dump(mode="json") for preset in _PRESETS]
    rows = [
        (f"`{name}`", *(_value(preset[name]) for preset in presets), (field.description or "").replace("|", "\\|"))
        for name, field in recipe.model_fields.items()
    ]
    return _markdown(("recipe", *(f"`{preset}`" for preset in _PRESETS), "meaning"), rows)


def _value(value: object) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value).lower()


def _paper(entry: MethodEntry) -> str:
    return entry.method_class.card.paper.replace("|", "\\|")


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, headers, "github", disable_numparse=True)
