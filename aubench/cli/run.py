"""``aubench run``: train and score methods under a protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aubench.cli.options import RUNS, Device, Modalities, Precision, Preset, Runs, Store, split_commas

if TYPE_CHECKING:
    from aubench.core.protocol import Protocol
    from aubench.core.registry import MethodEntry
    from aubench.runs.config import RunConfig


def run(
    method: Annotated[
        str | None, typer.Option("--method", help="Names or .py files separated by commas, or all that can.")
    ] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="Name of a protocol, or a .toml file.")] = None,
    seed: Annotated[str, typer.Option("--seed", help="One seed, or several separated by commas.")] = "0",
    fold: Annotated[str | None, typer.Option("--fold", help="Only this fold, by number or alias.")] = None,
    preset: Preset = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe value; repeatable.")
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option("--pretrained", help="First weights: imagenet, mae, videomae, none or a .safetensors file."),
    ] = None,
    selection: Annotated[
        str, typer.Option("--selection", help="What chooses the epoch: inner_val, last or oracle_test (leaks).")
    ] = "inner_val",
    modalities: Modalities = None,
    store: Store = None,
    device: Device = "auto",
    precision: Precision = "32-true",
    runs: Runs = RUNS,
    track: Annotated[bool, typer.Option("--track/--no-track", help="Send the run to MLflow.")] = True,
    from_study: Annotated[
        str | None, typer.Option("--from-study", metavar="NAME", help="Run the best recipe that a search found.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", metavar="URL", help="With --from-study: where the study lives.")
    ] = None,
) -> None:
    """Train and score methods on every fold.

    Given again, a stopped run goes on where it was.
    """
    from aubench.core import registry
    from aubench.core.errors import UsageError
    from aubench.runs import scheduler

    if from_study is not None:
        decided = (method, protocol, fold, preset, changes, pretrained, modalities)
        if any(word is not None for word in decided) or (selection, precision) != ("inner_val", "32-true"):
            raise UsageError("decides method, protocol and recipe", where="--from-study", hint="leave these out")
        scheduler.preload_workers()
        found = _tuned(from_study, storage, parse_seeds(seed), store, runs)
        _execute(found, _folds(found[0].protocol, None), device, track)
        return
    if method is None or protocol is None:
        lacking = "--method" if method is None else "--protocol"
        raise UsageError("is missing", where=lacking, hint="give --method and --protocol, or --from-study")
    chosen_protocol = registry.find_protocol(protocol, split_commas(modalities))
    folds = _folds(chosen_protocol, fold)
    seeds = parse_seeds(seed)
    values = parse_changes(changes or []) | ({} if pretrained is None else {"weights": pretrained})
    scheduler.preload_workers()
    plans = _plans(method, chosen_protocol, seeds, values, preset, selection, precision, store, runs)
    _execute(plans, folds, device, track)


def _folds(protocol: Protocol, name: str | None) -> list[int]:
    return list(range(1, len(protocol.folds) + 1)) if name is None else [protocol.fold_number(name)]


def parse_seeds(text: str) -> list[int]:
    """The seeds that an option names, each once."""
    from aubench.core.errors import UsageError
    from aubench.results.schema import MAX_COUNT

    words = split_commas(text)
    if not all(word.isascii() and word.isdigit() for word in words):
        raise UsageError(f"'{text}' is not a seed", where="--seed", hint="use whole numbers such as 0 or 0,1,2")
    seeds = list(dict.fromkeys(map(int, words)))
    if max(seeds) > MAX_COUNT:
        raise UsageError(f"{max(seeds)} is larger than {MAX_COUNT}", where="--seed", hint="use a smaller number")
    return seeds


def parse_changes(pairs: list[str]) -> dict[str, Any]:
    """Recipe values from ``KEY=VALUE``, values as JSON or else as text."""
    import json

    from aubench.core.errors import UsageError

    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"'{pair}' is not KEY=VALUE", where="--set")
        try:
            values[key.strip()] = json.loads(text)
        except json.JSONDecodeError:
            values[key.strip()] = text
    return values


def _plans(
    names: str,
    protocol: Protocol,
    seeds: list[int],
    values: dict[str, Any],
    preset: str | None,
    selection: str,
    precision: str,
    store: Path | None,
    runs: Path,
) -> list[RunConfig]:
    from aubench.cli.progress import count_progress, print_line
    from aubench.core import registry
    from aubench.core.errors import UsageError, suggest
    from aubench.data.splits import ProtocolDataset
    from aubench.datasets.catalog import open_store
    from aubench.runs.config import SELECTIONS, StoreRef, create_run_config
    from aubench.runs.devices import PRECISIONS

    for value, known, option in ((selection, SELECTIONS, "--selection"), (precision, PRECISIONS, "--precision")):
        if value not in known:
            raise UsageError(f"cannot be '{value}'", where=option, hint=suggest(value, known))
    entries = [(name, registry.find_method(name)) for name in registry.split_methods(names)]
    if names == "all":
        entries = [
            (name, entry)
            for name, entry in entries
            if supports_protocol(entry, protocol, preset or protocol.preset, values)
        ]
    with count_progress(f"{protocol.dataset}: sequences made") as progress:
        opened = open_store(protocol.dataset, store, progress)
    facts = StoreRef.from_store(opened)
    plans = [
        create_run_config(
            name,
            entry,
            protocol,
            preset=preset or protocol.preset,
            changes=values,
            seed=seed,
            selection=selection,  # type: ignore[arg-type]
            precision=precision,
            store=facts,
            runs=runs,
        )
        for name, entry in entries
        for seed in seeds
    ]
    data = ProtocolDataset(opened, protocol)
    kind = data.variant or ("not a known variant" if protocol.variants else "as drawn")
    print_line(f"{protocol.name}: {data.count} labelled frames ({kind}), store {facts.digest[:12]}")
    return plans


def supports_protocol(entry: MethodEntry, protocol: Protocol, preset: str, changes: dict[str, Any]) -> bool:
    """Whether a method that nobody asked for by name can do the task; if not, say why it is left out."""
    from aubench.cli.progress import print_line

    recipe = entry.method_class.Recipe.from_preset(preset, changes)
    reason = entry.method_class.unsupported_reason(protocol.task(recipe.crop), recipe)
    if reason is not None:
        print_line(f"skipped {entry.name}: {reason}")
    return reason is None


def _tuned(name: str, storage: str | None, seeds: list[int], store: Path | None, runs: Path) -> list[RunConfig]:
    """Plans of the best recipe of a study, under seeds that no trial had."""
    from dataclasses import replace

    from aubench.cli.progress import count_progress
    from aubench.core.errors import UsageError
    from aubench.core.registry import find_method
    from aubench.datasets.catalog import open_store
    from aubench.runs.config import StoreRef, create_run_config
    from aubench.tuning.best_recipe import find_best_trial

    found = find_best_trial(name, storage, runs)
    with count_progress(f"{found.protocol.dataset}: sequences made") as progress:
        facts = StoreRef.from_store(open_store(found.protocol.dataset, store, progress))
    if facts.digest != found.store:
        raise UsageError("is not the store that was searched on", where=facts.path, hint="give its own with --store")
    if found.seed in seeds:
        raise UsageError(f"{found.seed} was the seed of the trials", where="--seed", hint="give fresh ones")
    plans = [
        create_run_config(
            found.method,
            find_method(found.method),
            found.protocol,
            preset=found.preset,
            changes=found.values,
            seed=seed,
            selection="inner_val",
            precision=found.precision,
            store=facts,
            runs=runs,
        )
        for seed in seeds
    ]
    return [replace(plan, search=found.search) for plan in plans]


def _execute(plans: list[RunConfig], folds: list[int], device: str, track: bool) -> None:
    from contextlib import nullcontext

    from aubench.cli.progress import print_line
    from aubench.cli.run_progress import RunDisplay
    from aubench.runs import devices
    from aubench.runs.runner import finished_folds, run_folds
    from aubench.tracking import background

    for plan in plans:
        if set(folds) <= set(finished_folds(plan)):
            print_line(f"{plan.entry.name}, seed {plan.seed}: finished already, see {plan.run_dir}")
    tracking = background.background([plan.run_dir for plan in plans], say=print_line) if track else nullcontext()
    display = RunDisplay(plans, folds)
    try:
        with display, tracking:
            run_folds(plans, folds, devices.choose(device), display.show)
    finally:
        display.summary()
