"""Function that evaluates finished runs under the conditions of a robustness suite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aubench._util.progress import count_progress, print_line
from aubench.api import execution
from aubench.api.formats import check_form, frame_text
from aubench.api.planning import AnyPath, AnyPaths, Names, Numbers, Stores, parse_numbers, split_names
from aubench.api.results_view import RobustnessResults
from aubench.core.user_paths import user_path, user_paths

if TYPE_CHECKING:
    from aubench.core.suites import Suite
    from aubench.metrics.robustness_profile import RobustnessProfile
    from aubench.runs.config import RunConfig


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
    from aubench._util.output_paths import check_output_folder
    from aubench.core.errors import AubenchError, UsageError
    from aubench.core.suites import find_suite
    from aubench.runs.fold_process import preload_workers

    form = check_form(form)
    chosen = find_suite(suite)
    if noise is not None:
        sigmas = parse_numbers(noise, "--noise", "standard deviations", "e.g. 0.1,0.2,0.5,0.8")
        chosen = chosen.with_noise(tuple(sigmas))
    preload_workers(engine)  # imports at the same time as this process below

    from aubench.engines.choice import choose_engine

    run_dirs = _select_runs(user_path(runs), run, method, protocol)
    configs = _load_runs(run_dirs, store)
    protocols = _check_protocols(configs)
    if out is not None and len(protocols) > 1:
        raise UsageError(f"runs are of {', '.join(protocols)}", where="--out", hint="name one with --protocol")
    for name in protocols:
        check_output_folder(_output_folder(name, out))
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


def _output_folder(protocol: str, out: AnyPath | None) -> Path:
    return Path("robustness", protocol) if out is None else user_path(out)


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
    from aubench.leaderboard.tables import seed_counts
    from aubench.plots import robustness_figures

    all_profiles: dict[str, Sequence[RobustnessProfile]] = {}
    texts: list[str] = []
    paths: list[Path] = []
    for name in sorted({config.protocol.name for config in configs}):
        members = [config for config in configs if config.protocol.name == name]
        folder = _output_folder(name, out)
        runs = execution.read_stored_records(members)
        profiles = robustness_tables.profiles(runs, suite.conditions)
        all_profiles[name] = tuple(profiles)
        if form == "json":
            pages = {"robustness.json": frame_text(RobustnessResults({name: profiles}).to_dataframe(), form)}
        else:
            tables, title = robustness_tables.make_tables(profiles), f"{name}: {suite.title}"
            pages = robustness_tables.render(tables, title, form)
            tables.pop("lost", None)
            texts += robustness_tables.render(tables, title, form).values()
        for file, text in pages.items():
            atomic.write_text(folder / file, text)
        if form == "csv":
            for file in {f"{table}.csv" for table in robustness_tables.TABLES} - pages.keys():
                (folder / file).unlink(missing_ok=True)  # of an earlier comparison
        seeds = seed_counts(robustness_tables.entries_of(runs, suite.conditions))
        figures = robustness_figures.plot(profiles, (name, seeds), folder)
        paths += [*(folder / file for file in pages), *figures]
    text = "\n".join(texts)
    if all_profiles and form in ("csv", "json"):  # for programs, one table of all protocols
        text = frame_text(RobustnessResults(all_profiles).to_dataframe(), form)
    return RobustnessResults(all_profiles, text, tuple(paths))
