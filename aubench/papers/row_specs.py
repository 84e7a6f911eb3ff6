"""What a paper's rows take here: the runs that make them, or why there can be none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from aubench.core.conditions import Condition
from aubench.core.errors import RecipeError, UsageError
from aubench.core.protocol import Protocol
from aubench.core.registry import MethodEntry, builtin_protocols, find_method, find_protocol
from aubench.core.task import Modality, Task
from aubench.evaluation import flops
from aubench.papers.required_runs import RequiredRun
from aubench.results.record import Record
from aubench.results.schema import Compute
from aubench.runs.config import RunConfig, StoreRef, create_run_config

COSTED = "paper"
"""The preset whose operations are counted: what papers print is of their own size."""


@dataclass(frozen=True)
class RowSpec:
    """A row of a paper's table, as far as it decides what is run.

    Attributes:
        method: The method here; empty where there is none.
        settings: Recipe values that make it the row.
        modalities: What it must be offered.
        dataset: The data set that is tested.
        trained_on: The data set that is trained on.
        conditions: What its test inputs are put under, besides nothing.
        scored: Whether it takes a run; what it costs is counted without one.
        weights: Whether the run's weights are looked at.
        label: What it is called in a figure.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    modalities: tuple[Modality, ...] = (Modality.VISUAL, Modality.DEPTH)
    dataset: str = "bp4d"
    trained_on: str = "bp4d"
    conditions: tuple[Condition, ...] = ()
    scored: bool = True
    weights: bool = False
    label: str = ""


@dataclass(frozen=True)
class ReproductionConfig:
    """On what, and how, rows are made.

    Attributes:
        protocol: The protocol asked for; a row of another data set goes to a sibling on the same store.
        preset: Name of a preset.
        changes: Recipe values that differ from it in every run.
        seeds: A run each.
        store: What is read.
        runs: The folder of all runs.
        records: The leaderboard's folders of records; what stands there needs not be run.
    """

    protocol: Protocol
    preset: str
    changes: Mapping[str, Any]
    seeds: tuple[int, ...]
    store: StoreRef
    runs: Path
    records: tuple[Path, ...]


@dataclass(frozen=True)
class ResolvedRow:
    """What a row takes.

    Attributes:
        wanted: The row.
        runs: One a seed; none where it takes none.
        reason: Why there can be none; empty where there can.
    """

    spec: RowSpec
    runs: tuple[RequiredRun, ...] = ()
    reason: str = ""

    @property
    def configs(self) -> tuple[RunConfig, ...]:
        """The runs as they are decided."""
        return tuple(run.config for run in self.runs)

    def records(self) -> tuple[Record, ...]:
        """What the runs scored."""
        return tuple(run.record() for run in self.runs)


def dataset_alias(protocol: Protocol) -> str:
    """The data set whose rows a protocol makes: its own; synth stands in for BP4D, with thermal images for BP4D+."""
    if protocol.dataset != "synth":
        return protocol.dataset
    return "bp4dplus" if Modality.THERMAL in protocol.modalities else "bp4d"


def protocol_for(dataset: str, asked: Protocol) -> Protocol | None:
    """The protocol that makes rows of a data set: the one asked for, or a built-in one on the same store."""
    siblings = (protocol for protocol in _built_in() if protocol.dataset == asked.dataset)
    return next((protocol for protocol in (asked, *siblings) if dataset_alias(protocol) == dataset), None)


def resolve_row(wanted: RowSpec, terms: ReproductionConfig) -> ResolvedRow:
    """Find the runs of a row.

    Raises:
        RecipeError: The method has no such preset, or not what ``terms`` changes for every run.
    """
    reason = why_not_runnable(wanted, terms)
    if reason or not wanted.scored:
        return ResolvedRow(wanted, reason=reason)
    entry, protocol = find_method(wanted.method), protocol_for(wanted.dataset, terms.protocol)
    assert protocol is not None
    entry.method_class.Recipe.from_preset(terms.preset, terms.changes)
    try:
        plans = [_plan(entry, protocol, wanted, terms, seed) for seed in terms.seeds]
        return ResolvedRow(
            wanted, tuple(RequiredRun(plan, wanted.conditions, wanted.weights, terms.records) for plan in plans)
        )
    except (RecipeError, UsageError) as error:
        return ResolvedRow(wanted, reason=str(error))


def cost(wanted: RowSpec, terms: ReproductionConfig) -> Compute:
    """Operations per frame of a row at full size."""
    method = find_method(wanted.method).method_class
    recipe = method.Recipe.from_preset(COSTED, wanted.settings)
    return flops.count_flops(method, Task(wanted.modalities, terms.protocol.aus, recipe.crop), recipe)


def why_not_runnable(wanted: RowSpec, terms: ReproductionConfig) -> str:
    """Why no run can make a row, as far as can be told without its method's word."""
    asked = terms.protocol.name
    if not wanted.method:
        return "not implemented here"
    if not wanted.scored:
        return ""
    if wanted.trained_on != wanted.dataset:
        return (
            f"trained on {wanted.trained_on} and tested on {wanted.dataset}: needs a protocol of each, and cannot be "
            f"made on {asked}"
        )
    protocol = protocol_for(wanted.dataset, terms.protocol)
    if protocol is None:
        return f"needs a protocol of {wanted.dataset}; {asked} makes rows of {dataset_alias(terms.protocol)}"
    absent = [m for m in wanted.modalities if m not in protocol.modalities]
    return f"{protocol.name} has no {' and no '.join(absent)} images" if absent else ""


def _plan(entry: MethodEntry, protocol: Protocol, wanted: RowSpec, terms: ReproductionConfig, seed: int) -> RunConfig:
    """A row's run, as ``aubench run`` would make it: narrowed only where the method would use more than the row has."""
    changes = {**terms.changes, **wanted.settings}
    recipe = entry.method_class.Recipe.from_preset(terms.preset, changes)
    if entry.method_class.select_modalities(protocol.task(recipe.crop), recipe) != wanted.modalities:
        protocol = protocol.narrowed(wanted.modalities)
    return create_run_config(
        wanted.method,
        entry,
        protocol,
        preset=terms.preset,
        changes=changes,
        seed=seed,
        selection="inner_val",
        precision="32-true",
        store=terms.store,
        runs=terms.runs,
    )


@cache
def _built_in() -> tuple[Protocol, ...]:
    return tuple(map(find_protocol, builtin_protocols()))
