"""The methods, side by side and one by one, as a page: cost, fidelity, recipe, departures from the paper."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aubench.core.recipe import Recipe
from aubench.core.registry import MethodEntry, find_method
from aubench.core.task import Modality, Task
from aubench.evaluation.flops import count_flops
from aubench.results.schema import Compute

AUS = 12
"""AUs that costs are counted for."""
NOTHING = "–"


@dataclass(frozen=True)
class Costs:
    """What a preset of a method costs on some modalities.

    Attributes:
        task: With the modalities that the method uses.
        compute: Per frame.
    """

    task: Task
    compute: Compute

    @property
    def letters(self) -> str:
        """The modalities' letters."""
        return "+".join(m.letter for m in self.task.modalities)


def costs(entry: MethodEntry, preset: str) -> Iterator[Costs]:
    """Costs on every set of modalities that the method distinguishes, the largest first."""
    recipe = entry.method_class.Recipe.from_preset(preset, {})
    for task in _accepted(entry, recipe):
        yield Costs(task, count_flops(entry.method_class, task, recipe))


def _accepted(entry: MethodEntry, recipe: Recipe) -> list[Task]:
    sizes = range(len(Modality), 0, -1)
    sets = itertools.chain.from_iterable(itertools.combinations(Modality, size) for size in sizes)
    offered = [Task(modalities, tuple(range(1, AUS + 1)), recipe.crop) for modalities in sets]
    accepted = [task for task in offered if entry.method_class.unsupported_reason(task, recipe) is None]
    used = [Task(entry.method_class.select_modalities(task, recipe), task.aus, task.image_size) for task in accepted]
    return list(dict.fromkeys(used))


def page(names: Sequence[str]) -> str:
    """Everything about some methods in Markdown."""
    entries = [find_method(name) for name in names]
    parts = [_HEAD, _table(entries), _COSTS, _cost_table(entries), *(_chapter(entry) for entry in entries)]
    return "\n\n".join(parts) + "\n"


_HEAD = """# Methods

Made by `aubench methods --page docs/methods.md` from the methods themselves; a test keeps it true.

`paper` is the recipe as published, `tiny` the same code on narrow encoders for two CPU cores. What *fidelity* means
stands in [Add a method](add-a-method.md#the-card); where a method departs from its paper stands below."""

_COSTS = """## What a prediction costs

Per frame, for 12 AUs, without what a method needs in training alone. A multiply-accumulate (MAC) is two floating-point
operations; what is counted, and what is not, stands in [Methodology](methodology.md). Parameters include those that
training alone uses."""


def _table(entries: Sequence[MethodEntry]) -> str:
    rows = [
        (
            f"[`{entry.name}`](#{entry.name})",
            entry.method_class.card.title,
            str(entry.method_class.card.fidelity),
            _paper(entry),
        )
        for entry in entries
    ]
    return _markdown(("method", "title", "fidelity", "paper"), rows)


def _cost_table(entries: Sequence[MethodEntry]) -> str:
    rows = []
    for entry in entries:
        tiny = {each.letters: each.compute for each in costs(entry, "tiny")}
        for each in costs(entry, "paper"):
            if each.letters in ("V", "V+D", "V+D+T") or len(each.task.modalities) == 1:
                rows.append((f"`{entry.name}`", each.letters, *_cells(each.compute), *_cells(tiny[each.letters])[::2]))
    return _markdown(
        ("method", "modalities", "GFLOPs", "GMACs", "M parameters", "GFLOPs of `tiny`", "M parameters of `tiny`"), rows
    )


def _cells(compute: Compute) -> tuple[str, str, str]:
    total = compute.total
    return f"{total.flops / 1e9:.3g}", f"{total.macs / 1e9:.3g}", f"{total.parameters / 1e6:.3g}"


def _chapter(entry: MethodEntry) -> str:
    card = entry.method_class.card
    parts = [f"## {entry.name}", f"{card.title}. {_paper(entry)}. Fidelity: {card.fidelity}."]
    parts.append("\n".join(f"- {sentence}" for sentence in card.deviations) or "It departs nowhere.")
    parts.append(_recipe(entry.method_class.Recipe))
    return "\n\n".join(parts)


def _recipe(recipe: type[Recipe]) -> str:
    paper, tiny = (recipe.from_preset(preset, {}).model_dump(mode="json") for preset in ("paper", "tiny"))
    rows = [
        (f"`{name}`", _value(paper[name]), _value(tiny[name]), (field.description or "").replace("|", "\\|"))
        for name, field in recipe.model_fields.items()
    ]
    return _markdown(("recipe", "`paper`", "`tiny`", "what it is"), rows)


def _value(value: object) -> str:
    return NOTHING if value is None else f"{value:g}" if isinstance(value, float) else str(value).lower()


def _paper(entry: MethodEntry) -> str:
    return entry.method_class.card.paper.replace("|", "\\|")


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers, "github", disable_numparse=True)
