"""Functions that train methods and evaluate them under test conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util.progress import count_progress, print_line
from aubench.api import execution
from aubench.api.formats import check_form, frame_text
from aubench.api.planning import (
    AnyPath,
    AnyPaths,
    Names,
    Numbers,
    Seeds,
    Stores,
    check_overrides,
    check_seeds,
    find_narrowed,
    parse_numbers,
    plan_runs,
    plan_tuned_runs,
    split_names,
)
from aubench.api.results_view import Results, RobustnessResults
from aubench.core.user_paths import user_path, user_paths

if TYPE_CHECKING:
    from aubench.core.suites import Suite
    from aubench.metrics.robustness_profile import RobustnessProfile
    from aubench.runs.config import RunConfig


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
    from aubench.core.errors import AubenchError, UsageError
    from aubench.datasets.catalog import open_any_store
    from aubench.engines.choice import choose_engine
    from aubench.runs import scheduler
    from aubench.runs.record_builder import finished_folds
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
        user_path(runs),
        from_runs=sources,
        pretraining_store=None if pretrain_on is None else StoreRef.from_store(open_any_store(pretrain_on)),
    )
    if from_study is not None:
        default = RunOptions()
        is_given = {
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
        if refused := [name for name, given in is_given.items() if given]:
            hint = f"omit {' and '.join(refused)}"
            raise UsageError("sets method, protocol, folds and recipe", where="--from-study", hint=hint)
        scheduler.preload_workers(engine)
        choice = choose()
        configs = plan_tuned_runs(from_study, storage, seeds, store, options.runs)
        folds = configs[0].protocol.fold_numbers()
    elif storage is not None:
        raise UsageError("is that of a study", where="--storage", hint="name the study with --from-study")
    elif method is None or protocol is None:
        missing = "--method" if method is None else "--protocol"
        raise UsageError("is missing", where=missing, hint="give --method and --protocol, or --from-study")
    else:
        narrowed = find_narrowed(protocol, modalities)
        folds = narrowed.fold_numbers(fold)
        scheduler.preload_workers(engine)
        choice = choose()
        configs = plan_runs(method, narrowed, options, seeds, store)
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


def evaluate_robustness(
    *,
    suite: str = "amf",
    noise: Numbers | None = None,
    method: Names | None = None,
    protocol: Names | None = None,
    run: AnyPaths = (),
    runs: AnyPath = "runs",
    store: Stores = None,
    device: str = "auto",
    runs_per_device: int = 1,
    engine: str = "local",
    slurm: str | None = None,
    address: str | None = None,
    gpus_per_fold: float | None = None,
    out: AnyPath | None = None,
    form: str = "markdown",
    track: bool = False,
    report: Callable[[RobustnessResults], None] = lambda results: None,
) -> RobustnessResults:
    """Test finished runs under noise and missing modalities.

    Conditions that were evaluated before are not evaluated again.

    Args:
        suite: ``amf``, ``every_subset``, ``mask``, or a ``.toml`` file of conditions.
        noise: Comma-separated standard deviations instead of the suite's.
        method: Only these methods, separated by commas.
        protocol: Only these protocols, separated by commas.
        run: Only this run, by folder or id; repeatable.
        runs: Folder of all runs.
        store: Store of the data set. Of several data sets, one each, as DIR or NAME=DIR.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        runs_per_device: Folds that are evaluated at the same time on each GPU.
        engine: Engine that runs the folds: ``local``, ``slurm`` or ``ray``.
        slurm: Options of Slurm jobs, e.g. ``partition=gpu,time=4h``.
        address: Address of the Ray cluster [default: RAY_ADDRESS, or the one of this machine].
        gpus_per_fold: GPUs of each fold on Ray, e.g. 0.5 [default: 1].
        out: Folder of the files [default: robustness/<protocol>].
        form: ``markdown`` (``md``), ``latex``, ``csv`` or ``json``.
        track: Send new results to MLflow.
        report: Function that receives the results of completely evaluated runs, also if a fold fails.

    Returns:
        Tables and figures, which are also written to ``out``.

    Raises:
        AubenchError: An argument is invalid, no run is finished, protocols of one name differ, or a fold failed.
    """
    from aubench.core.errors import AubenchError, UsageError
    from aubench.core.suites import find_suite
    from aubench.engines.choice import choose_engine
    from aubench.runs import scheduler

    form = check_form(form)
    chosen = find_suite(suite)
    if noise is not None:
        sigmas = parse_numbers(noise, "--noise", "standard deviations", "e.g. 0.1,0.2,0.5,0.8")
        chosen = chosen.with_noise(tuple(sigmas))
    run_dirs = _select_runs(user_path(runs), run, method, protocol)
    scheduler.preload_workers(engine)
    configs = _load_runs(run_dirs, store)
    protocols = _check_protocols(configs)
    if out is not None and len(protocols) > 1:
        raise UsageError(f"runs are of {', '.join(protocols)}", where="--out", hint="name one with --protocol")
    try:
        choice = choose_engine(
            engine, device, runs_per_device, slurm=slurm, address=address, gpus_per_fold=gpus_per_fold
        )
        execution.evaluate(configs, lambda config: chosen.conditions(config.task.modalities), choice, track)
    except AubenchError:
        report(_write_robustness([config for config in configs if _is_evaluated(config, chosen)], chosen, out, form))
        raise
    results = _write_robustness(configs, chosen, out, form)
    report(results)
    return results


def _with_weights(overrides: Mapping[str, Any] | None, pretrained: str | None) -> dict[str, Any]:
    """Return recipe values with initial weights unless None.

    Raises:
        UsageError: The recipe values have initial weights, too.
    """
    from aubench.core.errors import UsageError

    values = check_overrides(overrides)
    if pretrained is None:
        return values
    if "weights" in values:
        raise UsageError("is also set by --set weights", where="--pretrained", hint="omit one of them")
    return check_overrides({**values, "weights": pretrained})


def _select_runs(runs: Path, names: AnyPaths, method: Names | None, protocol: Names | None) -> list[Path]:
    """Return the folders of the selected runs, finished or not."""
    from aubench.core.errors import UsageError, suggest
    from aubench.results.run_folder import run_names
    from aubench.tracking.run_export import find_runs

    run_dirs = find_runs(runs, user_paths(names))
    if not run_dirs:
        raise UsageError("no finished run", where=runs, hint="finish one with `aubench run`, or give --runs")
    for option, names_of_option, index in (("--protocol", protocol, 0), ("--method", method, 1)):
        if names_of_option is None:
            continue
        names_of_runs = {run_dir: run_names(run_dir)[index] for run_dir in run_dirs}
        known, selected = set(names_of_runs.values()), set(split_names(names_of_option))
        if not selected:
            raise UsageError("names none", where=option, hint="give one or more, or omit it")
        for name in sorted(selected - known):
            raise UsageError(f"no run of '{name}'", where=option, hint=suggest(name, known))
        run_dirs = [run_dir for run_dir, name in names_of_runs.items() if name in selected]
    return run_dirs


def _load_runs(run_dirs: Sequence[Path], store: Stores) -> list[RunConfig]:
    from aubench.core.errors import UsageError
    from aubench.runs.loading import load_finished_runs

    with count_progress("sequences generated") as progress:
        loaded = load_finished_runs(run_dirs, store, progress)
    for run_dir, reason in loaded.skipped:
        print_line(f"skipped {run_dir}: {reason}")
    if not loaded.configs:
        hint = "the lines above say why; `aubench run` finishes runs and repeats those of earlier versions"
        raise UsageError(f"none of {len(run_dirs)} runs can be evaluated", hint=hint)
    return list(loaded.configs)


def _check_protocols(configs: Sequence[RunConfig]) -> list[str]:
    """Return the names of the protocols of runs.

    Raises:
        UsageError: Several protocols have one name, so that folds, subjects or AUs may differ.
    """
    from aubench.core.errors import UsageError

    first: dict[str, RunConfig] = {}
    for config in configs:
        other = first.setdefault(config.protocol.name, config)
        if config.protocol.seed != other.protocol.seed:
            what = f"has another content of protocol {config.protocol.name} than {other.run_dir}"
            raise UsageError(what, where=config.run_dir, hint="select runs of one with --run, or delete the older ones")
    return sorted(first)


def _is_evaluated(config: RunConfig, suite: Suite) -> bool:
    """Return whether every finished fold has scores under every condition."""
    from aubench.runs.condition_scores import missing_conditions
    from aubench.runs.record_builder import finished_folds

    conditions = suite.conditions(config.task.modalities)
    return not any(missing_conditions(config, fold, conditions) for fold in finished_folds(config))


def _write_robustness(configs: Sequence[RunConfig], suite: Suite, out: AnyPath | None, form: str) -> RobustnessResults:
    """Write tables and figures of each protocol."""
    from aubench._util import atomic
    from aubench.leaderboard import robustness_tables
    from aubench.plots import robustness_figures

    all_profiles: dict[str, Sequence[RobustnessProfile]] = {}
    texts: list[str] = []
    paths: list[Path] = []
    for name in sorted({config.protocol.name for config in configs}):
        members = [config for config in configs if config.protocol.name == name]
        folder, seed_count = Path("robustness", name) if out is None else user_path(out), len({c.seed for c in members})
        profiles = robustness_tables.profiles(execution.read_stored_records(members), suite.conditions)
        all_profiles[name] = tuple(profiles)
        if form == "json":
            pages = shown = {"robustness.json": frame_text(RobustnessResults({name: profiles}).to_dataframe(), form)}
        else:
            tables, title = robustness_tables.make_tables(profiles), f"{name}: {suite.title}"
            pages = robustness_tables.render(tables, title, form)
            tables.pop("lost", None)
            shown = robustness_tables.render(tables, title, form)
        for file, text in pages.items():
            atomic.write_text(folder / file, text)
        if form == "csv":
            for file in {f"{table}.csv" for table in robustness_tables.TABLES} - pages.keys():
                (folder / file).unlink(missing_ok=True)  # of an earlier comparison
        texts += shown.values()
        figures = robustness_figures.plot(profiles, (name, f"{seed_count} seed{'s' * (seed_count > 1)}"), folder)
        paths += [*(folder / file for file in pages), *figures]
    return RobustnessResults(all_profiles, "\n".join(texts), tuple(paths))
