"""Rows of papers' tables and figures: their runs, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from aubench.core import method_hooks
from aubench.core.conditions import Condition
from aubench.core.errors import RecipeError, UsageError
from aubench.core.protocol import Protocol
from aubench.core.recipe import Recipe
from aubench.core.registry import MethodEntry, builtin_protocols, find_method, find_protocol
from aubench.core.task import Modality, Task
from aubench.evaluation import flops
from aubench.papers.required_runs import RequiredRun
from aubench.results.record import Record
from aubench.results.run_costs import Compute
from aubench.runs.config import RunConfig
from aubench.runs.run_options import RunOptions
from aubench.runs.store_ref import StoreRef

COST_PRESET = "paper"
"""Preset for counting operations, since papers report those of the full size."""


@dataclass(frozen=True)
class RowSpec:
    """Properties of a paper's row that determine its runs.

    Attributes:
        method: Name of the implemented method; empty if there is none.
        settings: Recipe values of the row.
        modalities: Modalities that the method is offered.
        dataset: Data set of the test.
        trained_on: Data set of the training.
        conditions: Test conditions besides ``clean``.
        scored: Whether the row needs runs; computational cost needs none.
        weights: Whether the row needs the weights of its runs.
        trained: Whether its runs are needed, or only the configuration of the first one.
        label: Label in a figure.
        aus: AUs of the table; empty if it reports means only.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    modalities: tuple[Modality, ...] = (Modality.VISUAL, Modality.DEPTH)
    dataset: str = "bp4d"
    trained_on: str = "bp4d"
    conditions: tuple[Condition, ...] = ()
    scored: bool = True
    weights: bool = False
    trained: bool = True
    label: str = ""
    aus: tuple[int, ...] = ()


@dataclass(frozen=True)
class ReproductionConfig:
    """Settings that all rows share.

    Attributes:
        protocol: Requested protocol; rows of another data set use a sibling on the same store.
        options: Options of every run.
        seeds: Seeds, one run each.
        store: Store of the data set.
        records: Folders of records of the leaderboard, whose runs are reused.
    """

    protocol: Protocol
    options: RunOptions
    seeds: tuple[int, ...]
    store: StoreRef
    records: tuple[Path, ...]

    @property
    def preset(self) -> str:
        """Name of the preset."""
        return self.options.preset or self.protocol.preset

    def recipe(self, entry: MethodEntry, settings: Mapping[str, Any] | None = None) -> Recipe:
        """Return the recipe of a method's runs, with further recipe values of a row."""
        return entry.create_recipe(self.preset, {**self.options.overrides, **(settings or {})})


@dataclass(frozen=True)
class ResolvedRow:
    """Row with its runs.

    Attributes:
        spec: Row.
        runs: Runs, one per seed; empty if the row needs none or ``reason`` is given.
        reason: Reason why the row cannot be reproduced; empty if it can.
        untrained: Configurations of a row that needs no training.
    """

    spec: RowSpec
    runs: tuple[RequiredRun, ...] = ()
    reason: str = ""
    untrained: tuple[RunConfig, ...] = ()

    @property
    def configs(self) -> tuple[RunConfig, ...]:
        """Configurations of the runs, or of the row without any."""
        return self.untrained or tuple(run.config for run in self.runs)

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Records of the runs, which are finished or published. They are read once."""
        return tuple(run.record() for run in self.runs)


def dataset_alias(protocol: Protocol) -> str:
    """Return the data set whose rows a protocol reproduces; synth replaces BP4D, with thermal images BP4D+."""
    if protocol.dataset != "synth":
        return protocol.data_name
    return "bp4dplus" if Modality.THERMAL in protocol.modalities else "bp4d"


def protocol_for(dataset: str, requested: Protocol) -> Protocol | None:
    """Return the protocol for rows of a data set: the requested one, or a built-in one on the same store."""
    siblings = (protocol for protocol in _builtin_protocols() if protocol.data_name == requested.data_name)
    return next((protocol for protocol in (requested, *siblings) if dataset_alias(protocol) == dataset), None)


def resolve_row(spec: RowSpec, config: ReproductionConfig) -> ResolvedRow:
    """Return the row with its runs.

    Raises:
        RecipeError: The method has no such preset, or an override of every run is invalid.
    """
    reason = _missing_part(spec) or (why_not_runnable if spec.scored else why_not_countable)(spec, config)
    if reason or not spec.scored:
        return ResolvedRow(spec, reason=reason)
    entry, protocol = find_method(spec.method), protocol_for(spec.dataset, config.protocol)
    assert protocol is not None
    config.recipe(entry)
    try:
        configs = [_run_config(entry, protocol, spec, config, seed) for seed in config.seeds]
    except (RecipeError, UsageError) as error:
        return ResolvedRow(spec, reason=str(error))
    if not spec.trained:
        return ResolvedRow(spec, untrained=tuple(configs[:1]))
    return ResolvedRow(spec, tuple(RequiredRun(c, spec.conditions, spec.weights, config.records) for c in configs))


def cost(spec: RowSpec, config: ReproductionConfig) -> Compute:
    """Return the operations per frame of a row at full size."""
    entry, task, recipe = _at_full_size(spec, config)
    return flops.count_flops(entry.method_class, task, recipe)


def why_not_countable(spec: RowSpec, config: ReproductionConfig) -> str:
    """Return why the operations of a row cannot be counted; empty if they can."""
    try:
        entry, task, recipe = _at_full_size(spec, config)
    except RecipeError as error:
        return str(error)
    reason = method_hooks.unsupported_reason(entry.method_class, task, recipe)
    return f"{spec.method}: {reason}" if reason else ""


def _at_full_size(spec: RowSpec, config: ReproductionConfig) -> tuple[MethodEntry, Task, Recipe]:
    """Return method, task and recipe of a row at full size, whose operations papers report."""
    entry = find_method(spec.method)
    recipe = entry.create_recipe(COST_PRESET, spec.settings)
    return entry, Task(spec.modalities, config.protocol.aus, recipe.crop), recipe


def _missing_part(spec: RowSpec) -> str:
    """Return which part of a row is missing without which nothing can be measured; empty if none is."""
    if not spec.method:
        return "not implemented here"
    try:
        find_method(spec.method)
    except UsageError as error:
        return error.what
    return "" if spec.modalities else "the table does not state its modalities"


def why_not_runnable(spec: RowSpec, config: ReproductionConfig) -> str:
    """Return why no run can reproduce a row, without asking its method; empty if one may."""
    requested = config.protocol.name
    if spec.trained_on != spec.dataset:
        return (
            f"trained on {spec.trained_on} and tested on {spec.dataset}: needs a protocol of each, and cannot be "
            f"made on {requested}"
        )
    protocol = protocol_for(spec.dataset, config.protocol)
    if protocol is None:
        return f"needs a protocol of {spec.dataset}; {requested} makes rows of {dataset_alias(config.protocol)}"
    if spec.aus and not set(spec.aus) & set(protocol.aus):
        return f"{protocol.name} scores no AU of the table"
    absent = [m for m in spec.modalities if m not in protocol.modalities]
    return f"{protocol.name} has no {' and no '.join(absent)} images" if absent else ""


def _run_config(
    entry: MethodEntry, protocol: Protocol, spec: RowSpec, config: ReproductionConfig, seed: int
) -> RunConfig:
    """Return the run as ``aubench run`` makes it; narrow the protocol only if the method uses too many modalities."""
    recipe = config.recipe(entry, spec.settings)
    if entry.select_modalities(protocol.task(recipe.crop), recipe) != spec.modalities:
        protocol = protocol.narrowed(spec.modalities)
    options = replace(config.options, preset=config.preset, overrides={**config.options.overrides, **spec.settings})
    return RunConfig.create(spec.method, protocol, config.store, options, seed)


@cache
def _builtin_protocols() -> tuple[Protocol, ...]:
    return tuple(map(find_protocol, builtin_protocols()))
