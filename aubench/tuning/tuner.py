"""The way into a search: from names and options to a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench.core import registry
from aubench.core.errors import UsageError, suggest
from aubench.datasets.catalog import open_store
from aubench.plots import study_report
from aubench.runs import devices, scheduler
from aubench.runs.config import StoreRef
from aubench.runs.devices import PRECISIONS
from aubench.tracking import studies
from aubench.tuning.search_config import SearchConfig, create_search
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
    track: bool = False,
    say: Say = lambda line: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Study:
    """Search a method's recipe by its F1 on the inner validation; given again, a stopped search goes on.

    Any number of processes may call this at the same time with the same words: they share the trials.

    Args:
        method: Name of a method, or a .py file.
        protocol: Name of a protocol, or a .toml file.
        trials: How many trials shall be finished or pruned, whoever makes them.
        storage: A database's URL or ``journal:PATH``; an SQLite file in ``runs`` where None.
        sampler: ``tpe``, ``gp``, ``random`` or ``cmaes``, or an Optuna sampler of your own.
        pruner: ``hyperband``, ``median`` or ``none``.
        fold: Only this fold, by number or alias; the mean over all where None.
        preset: Where every trial begins; the protocol's where None.
        changes: Recipe values that differ from the preset in every trial.
        space: Names of the fields to search; all that have a range where None.
        modalities: Narrows the protocol.
        study: Name of the study; made of method, protocol, preset and sampler where None.
        seed: Decides what is suggested, and the seed of all trials.
        precision: Lightning Fabric's name of the arithmetic.
        store: The dataset's store.
        runs: The folder of all runs; the study's own lies in its ``studies``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``; one device is used.
        track: Whether to send the study to MLflow.
        say: Told in one line what a person may want to know.
        progress: Told of sequences made, should the store have to be made.

    Returns:
        The study.

    Raises:
        AubenchError: Something that was asked for does not exist or does not fit, or a trial could not be made.
    """
    named = sampler if isinstance(sampler, str) else type(sampler).__name__
    check_names(sampler if isinstance(sampler, str) else "random", pruner)
    if trials < 1:
        raise UsageError(f"cannot be {trials}", where="--trials", hint="give 1 or more")
    if precision not in PRECISIONS:
        raise UsageError(f"cannot be '{precision}'", where="--precision", hint=suggest(precision, PRECISIONS))
    scheduler.preload_workers()
    found = registry.find_protocol(protocol, modalities)
    entry = registry.find_method(method)
    search = create_search(
        method,
        entry,
        found,
        preset=preset or found.preset,
        fixed=dict(changes or {}),
        wanted=space,
        folds=range(1, len(found.folds) + 1) if fold is None else [found.fold_number(fold)],
        seed=seed,
        sampler=named,
        pruner=pruner,
        precision=precision,
        store=StoreRef.from_store(open_store(found.dataset, store, progress)),
        runs=runs,
        name=study,
    )
    own = None if isinstance(sampler, str) else sampler
    return _run(search, storage_url(storage, runs), trials, device, own, track, say)


def _run(
    search: SearchConfig, storage: str, trials: int, device: str, sampler: BaseSampler | None, track: bool, say: Say
) -> Study:
    tracking = studies.Tracking(search.folder, say) if track else None
    after = tracking.send if tracking else lambda: None
    study = run_search(search, storage, trials, devices.choose(device), say, sampler, after)
    study_report.plot(study, search.folder, say)
    after()
    return study
