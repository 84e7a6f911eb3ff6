"""Entry point of a search: creates the study from names and options, and runs its trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench.core import registry
from aubench.core.errors import UsageError, suggest
from aubench.datasets.catalog import open_store
from aubench.runs import devices, scheduler
from aubench.runs.config import StoreRef
from aubench.runs.devices import PRECISIONS
from aubench.tuning.search_config import create_search
from aubench.tuning.storage import check_names, storage_url
from aubench.tuning.study import run_search

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler

Say = Callable[[str], None]


def tune(
    method: str,
    protocol: str,
    trials: int,
    *,
    storage: str | None = None,
    sampler: str | BaseSampler = "tpe",
    pruner: str = "hyperband",
    fold: str | None = None,
    preset: str | None = None,
    changes: Mapping[str, Any] | None = None,
    space: Sequence[str] | None = None,
    modalities: Sequence[str] | None = None,
    study: str | None = None,
    seed: int = 0,
    precision: str = "32-true",
    store: Path | None = None,
    runs: Path = Path("runs"),
    device: str = "auto",
    on_trial: Callable[[Path], None] = lambda folder: None,
    say: Say = lambda line: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Study:
    """Search a method's recipe by its F1 on the inner validation.

    Repeat the call to resume a search. Processes that make the same call at the same time share the trials.

    Args:
        method: Name of a method, or path of its file.
        protocol: Name of a protocol, or path of its file.
        trials: Number of finished or pruned trials, over all processes.
        storage: URL of a database, or ``journal:PATH``; an SQLite file in ``runs`` if None.
        sampler: ``tpe``, ``gp``, ``random`` or ``cmaes``, or an Optuna sampler.
        pruner: ``hyperband``, ``median`` or ``none``.
        fold: Number or alias of the only fold; the mean over all folds if None.
        preset: Preset of every trial; the protocol's if None.
        changes: Recipe values that are fixed in every trial.
        space: Names of the fields to search; all with a range if None.
        modalities: Modalities to narrow the protocol to.
        study: Name of the study; composed of method, protocol, preset and sampler if None.
        seed: Seed of the suggestions and of all trials.
        precision: Precision in Lightning Fabric's notation.
        store: Folder of the data set's store; the default one if None.
        runs: Folder of all runs. The study's folder is in its ``studies``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``; one device is used.
        on_trial: Callback with the study's folder after each trial of this process.
        say: Callback for one-line messages.
        progress: Callback with the numbers of generated and of all sequences, if the store is generated.

    Returns:
        The study.

    Raises:
        AubenchError: An argument is invalid, or a trial failed.
    """
    sampler_name = sampler if isinstance(sampler, str) else type(sampler).__name__
    check_names(sampler if isinstance(sampler, str) else "random", pruner)
    if trials < 1:
        raise UsageError(f"cannot be {trials}", where="--trials", hint="give 1 or more")
    if precision not in PRECISIONS:
        raise UsageError(f"cannot be '{precision}'", where="--precision", hint=suggest(precision, PRECISIONS))
    scheduler.preload_workers()
    narrowed = registry.find_protocol(protocol, modalities)
    entry = registry.find_method(method)
    search = create_search(
        method,
        entry,
        narrowed,
        preset=preset or narrowed.preset,
        fixed=dict(changes or {}),
        searched=space,
        folds=range(1, len(narrowed.folds) + 1) if fold is None else [narrowed.fold_number(fold)],
        seed=seed,
        sampler=sampler_name,
        pruner=pruner,
        precision=precision,
        store=StoreRef.from_store(open_store(narrowed.dataset, store, progress)),
        runs=runs,
        name=study,
    )
    return run_search(
        search,
        storage_url(storage, runs),
        trials,
        devices.choose(device),
        say,
        None if isinstance(sampler, str) else sampler,
        lambda: on_trial(search.folder),
    )
