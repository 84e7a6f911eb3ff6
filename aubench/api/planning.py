"""Run configurations from names and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util.progress import count_progress, print_line

if TYPE_CHECKING:
    from aubench.core.protocol import Protocol
    from aubench.data.store import Store
    from aubench.runs.config import RunConfig

Names = str | Sequence[str]
"""One name or several; a string may hold several separated by commas."""


def open_dataset(dataset: str, path: str | Path | None) -> Store:
    """Open the store of a data set; generate that of a synthetic one if it does not exist.

    Args:
        dataset: Name of the data set.
        path: Folder of the store; the default one if None.
    """
    from aubench.datasets.catalog import open_store

    with count_progress(f"{dataset}: sequences generated") as progress:
        return open_store(dataset, None if path is None else Path(path), progress)


def check_seeds(seeds: int | Sequence[int]) -> list[int]:
    """Return the distinct seeds.

    Raises:
        UsageError: A seed is not an integer from 0 to the largest that a record can hold.
    """
    from aubench.core.errors import UsageError
    from aubench.results.schema import MAX_COUNT

    distinct = list(dict.fromkeys([seeds] if isinstance(seeds, int) else seeds))
    for seed in distinct:
        if not isinstance(seed, int) or seed < 0:
            raise UsageError(f"'{seed}' is not a seed", where="--seed", hint="use whole numbers such as 0 or 0,1,2")
        if seed > MAX_COUNT:
            raise UsageError(f"{seed} is larger than {MAX_COUNT}", where="--seed", hint="use a smaller number")
    if not distinct:
        raise UsageError("no seed", where="--seed", hint="use whole numbers such as 0 or 0,1,2")
    return distinct


def split_names(names: Names) -> list[str]:
    """Return single names."""
    words = names.split(",") if isinstance(names, str) else names
    return [str(word).strip() for word in words]


def select_methods(methods: Names, protocol: Protocol, preset: str, overrides: Mapping[str, Any]) -> list[str]:
    """Return the methods' names, for ``all`` those that support the protocol; print why others are skipped."""
    from aubench.core import registry

    names = split_names(methods)
    if names != ["all"]:
        return list(dict.fromkeys(names))
    supported = []
    for name in registry.builtin_methods():
        method = registry.find_method(name).method_class
        recipe = method.Recipe.from_preset(preset, overrides)
        reason = method.unsupported_reason(protocol.task(recipe.crop), recipe)
        if reason is None:
            supported.append(name)
        else:
            print_line(f"skipped {name}: {reason}")
    return supported


def plan_runs(
    methods: Names,
    protocol: Protocol,
    *,
    seeds: Sequence[int] = (0,),
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    selection: str = "inner_val",
    precision: str = "32-true",
    store: str | Path | None = None,
    runs: str | Path = "runs",
    say: Callable[[str], None] = lambda line: None,
) -> list[RunConfig]:
    """Return the configuration of each method's run with each seed.

    Args:
        methods: Names or ``.py`` files, or ``all``.
        protocol: Protocol, already narrowed.
        seeds: Seeds, one run each.
        preset: Name of the recipe preset; the protocol's if None.
        overrides: Recipe values that differ from the preset.
        selection: Rule that selects the scored epoch.
        precision: Arithmetic precision.
        store: Folder of the data set's store; the default one if None.
        runs: Folder of all runs.
        say: Function that receives a description of the data.

    Raises:
        AubenchError: A name or value does not exist, or a method does not support the protocol.
    """
    from aubench.core import registry
    from aubench.core.errors import UsageError, suggest
    from aubench.data.splits import ProtocolDataset
    from aubench.runs.config import SELECTIONS, RunConfig, StoreRef
    from aubench.runs.devices import PRECISIONS

    for value, known, option in ((selection, SELECTIONS, "--selection"), (precision, PRECISIONS, "--precision")):
        if value not in known:
            raise UsageError(f"cannot be '{value}'", where=option, hint=suggest(value, known))
    values, preset = dict(overrides or {}), preset or protocol.preset
    entries = [(name, registry.find_method(name)) for name in select_methods(methods, protocol, preset, values)]
    opened = open_dataset(protocol.dataset, store)
    configs = [
        RunConfig.create(
            name,
            protocol,
            preset=preset,
            overrides=values,
            seed=seed,
            selection=selection,  # type: ignore[arg-type]
            precision=precision,
            store=StoreRef.from_store(opened),
            runs=Path(runs),
        )
        for name, entry in entries
        for seed in seeds
    ]
    data = ProtocolDataset(opened, protocol)
    variant = data.variant or ("no known variant" if protocol.variants else "generated")
    say(f"{protocol.name}: {data.count} labelled frames ({variant}), store {opened.info.digest[:12]}")
    return configs


def plan_tuned_runs(
    study: str, storage: str | None, seeds: Sequence[int], store: str | Path | None, runs: str | Path
) -> list[RunConfig]:
    """Return the configurations of a study's best recipe.

    Args:
        study: Name of the study.
        storage: Storage of the study; the default one if None.
        seeds: Seeds, none of them used by the trials.
        store: Folder of the data set's store; the default one if None.
        runs: Folder of all runs.

    Raises:
        UsageError: The study does not exist, used another store, or used one of the seeds.
    """
    from aubench.core.errors import UsageError
    from aubench.tuning.best_recipe import find_best_trial

    best = find_best_trial(study, storage, Path(runs))
    opened = open_dataset(best.protocol.dataset, store)
    if opened.info.digest != best.store:
        raise UsageError("is not the store of the search", where=opened.path.resolve(), hint="give that with --store")
    if best.seed in seeds:
        raise UsageError(f"{best.seed} was the seed of the trials", where="--seed", hint="give another one")
    configs = plan_runs(
        [best.method],
        best.protocol,
        seeds=seeds,
        preset=best.preset,
        overrides=best.values,
        precision=best.precision,
        store=store,
        runs=runs,
    )
    return [replace(config, search=best.search) for config in configs]
