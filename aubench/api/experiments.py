"""Functions that train methods and evaluate them under test conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from aubench._util.progress import print_line
from aubench.api import execution
from aubench.api.planning import (
    AnyPath,
    AnyPaths,
    Names,
    Seeds,
    Stores,
    check_overrides,
    check_seeds,
    find_narrowed,
    plan_runs,
    plan_tuned_runs,
    writable_runs,
)
from aubench.api.results_view import Results
from aubench.core.errors import AubenchError, UsageError
from aubench.core.user_paths import user_path, user_paths

if TYPE_CHECKING:
    from aubench.runs.config import RunConfig
    from aubench.runs.devices import DeviceChoice


def run(
    method: Names | None = None,
    protocol: str | None = None,
    *,
    seeds: Seeds = 0,
    fold: int | str | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    pretrained: str | None = None,
    selection: str = "inner_val",
    modalities: Names | None = None,
    store: Stores = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    runs_per_device: int = 1,
    engine: str = "local",
    slurm: str | None = None,
    address: str | None = None,
    gpus_per_fold: float | None = None,
    precision: str = "32-true",
    runs: AnyPath = "runs",
    track: bool = False,
    from_study: str | None = None,
    storage: str | None = None,
    from_run: AnyPaths = (),
    pretrain_on: str | None = None,
    report: Callable[[Results], None] = lambda results: None,
) -> Results:
    """Train and score methods on every fold.

    Repeat to resume an interrupted run. Finished folds are skipped.

    Args:
        method: Comma-separated names or ``.py`` files, or ``all``: every method that supports the protocol.
        protocol: Name of a protocol, or a ``.toml`` file.
        seeds: One seed, or several separated by commas.
        fold: Only this fold, by number or alias.
        preset: Recipe preset [default: the protocol's].
        overrides: Recipe values that differ from the preset.
        pretrained: Initial weights: ``imagenet``, ``mae``, ``videomae``, ``none`` or a ``.safetensors`` file.
        selection: Selection of the epoch: ``inner_val``, ``last`` or ``oracle_test`` (leaks).
        modalities: Modalities to narrow the protocol to, e.g. ``visual,depth``.
        store: Store of the data set. Of several data sets, one each, as DIR or NAME=DIR.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        devices: GPUs of one machine, or CPU cores, that train each fold together.
        nodes: Machines of a Slurm cluster that train each fold together, each with the GPUs of ``devices``.
        runs_per_device: Folds that train at the same time on each GPU.
        engine: Engine that runs the folds: ``local``, ``slurm`` or ``ray``.
        slurm: Options of Slurm jobs, e.g. ``partition=gpu,time=4h``.
        address: Address of the Ray cluster [default: RAY_ADDRESS, or the one of this machine].
        gpus_per_fold: GPUs of each fold on Ray, e.g. 0.5 [default: 1].
        precision: ``32-true``, ``tf32`` (NVIDIA GPUs) or ``bf16-mixed``.
        runs: Folder of all runs.
        track: Send new results to MLflow.
        from_study: Study whose best recipe is run, with its method and protocol.
        storage: Storage of that study.
        from_run: Finished run whose weights a protocol with ``starts_from`` starts from, by folder or id; one for each
            method and seed, repeatable.
        pretrain_on: Data set, or folder of a store, that pre-training reads instead of the training frames.
        report: Function that receives the results of the finished folds, also if a fold fails.

    Returns:
        The records of the runs.

    Raises:
        AubenchError: An argument is invalid or a fold failed.
    """
    from aubench.runs.fold_process import preload_workers

    narrowed = None if protocol is None else find_narrowed(protocol, modalities)
    preload_workers(engine)  # imports at the same time as this process below

    from aubench.datasets.catalog import open_any_store
    from aubench.engines.choice import choose_engine
    from aubench.runs.run_options import RunOptions
    from aubench.runs.store_ref import StoreRef
    from aubench.tracking.run_export import find_runs

    seeds, values = check_seeds(seeds), _with_weights(overrides, pretrained)
    sources = tuple(find_runs(user_path(runs), user_paths(from_run))) if from_run else ()
    choose = partial(
        choose_engine,
        engine,
        device,
        runs_per_device,
        per_fold=devices,
        nodes=nodes,
        slurm=slurm,
        address=address,
        gpus_per_fold=gpus_per_fold,
    )
    options = RunOptions(
        preset,
        values,
        selection,
        precision,
        writable_runs(runs),
        from_runs=sources,
        pretraining_store=None if pretrain_on is None else StoreRef.from_store(open_any_store(pretrain_on)),
    )
    if from_study is not None:
        default = RunOptions()
        _refuse_options_of_study(
            {
                "--method": method is not None,
                "--protocol": protocol is not None,
                "--fold": fold is not None,
                "--modalities": modalities is not None,
                "--preset": preset is not None,
                "--set": bool(overrides),
                "--pretrained": pretrained is not None,
                "--from-run": bool(sources),
                "--pretrain-on": pretrain_on is not None,
                "--selection": selection != default.selection,
                "--precision": precision != default.precision,
            }
        )
        choice = choose()
        configs = plan_tuned_runs(from_study, storage, seeds, store, options.runs)
        folds = configs[0].protocol.fold_numbers()
    elif storage is not None:
        raise UsageError("is that of a study", where="--storage", hint="name the study with --from-study")
    elif method is None or narrowed is None:
        missing = "--method" if method is None else "--protocol"
        raise UsageError("is missing", where=missing, hint="give --method and --protocol, or --from-study")
    else:
        folds = narrowed.fold_numbers(fold)
        choice = choose()
        configs = plan_runs(method, narrowed, options, seeds, store)
    return _train_and_report(configs, folds, choice, track, report)


def _refuse_options_of_study(is_given: Mapping[str, bool]) -> None:
    """Refuse the options that a study sets.

    Args:
        is_given: Whether each of these options is given, by name.

    Raises:
        UsageError: One of them is given.
    """
    if refused := [name for name, given in is_given.items() if given]:
        hint = f"omit {' and '.join(refused)}"
        raise UsageError("sets method, protocol, folds and recipe", where="--from-study", hint=hint)


def _train_and_report(
    configs: Sequence[RunConfig],
    folds: Sequence[int],
    choice: DeviceChoice,
    track: bool,
    report: Callable[[Results], None],
) -> Results:
    """Train the unfinished folds of runs, and report and return the records of all runs."""
    from aubench.runs.record_builder import finished_folds

    for config in configs:
        if set(folds) <= set(finished_folds(config)):
            print_line(f"{config.entry.name}, seed {config.seed}: finished already, see {config.run_dir}")
    try:
        execution.train(configs, folds, choice, track)
    except BaseException:
        with suppress(AubenchError):  # of a damaged record, which would hide the reason
            report(Results(execution.read_stored_records(configs)))
        raise
    results = Results(execution.read_stored_records(configs))
    report(results)
    return results


def _with_weights(overrides: Mapping[str, Any] | None, pretrained: str | None) -> dict[str, Any]:
    """Return recipe values with initial weights unless None.

    Raises:
        UsageError: The recipe values have initial weights, too.
    """
    values = check_overrides(overrides)
    if pretrained is None:
        return values
    if "weights" in values:
        raise UsageError("is also set by --set weights", where="--pretrained", hint="omit one of them")
    return check_overrides({**values, "weights": pretrained})
