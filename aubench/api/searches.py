"""Function that searches recipes, and its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util.progress import print_line
from aubench.api.dataframe_view import DataFrameView
from aubench.api.planning import (
    AnyPath,
    Names,
    Stores,
    check_count,
    check_overrides,
    check_seed,
    find_narrowed,
    open_data,
    recipe_errors_of,
    select_methods,
    split_names,
    writable_runs,
)

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study
    from optuna.samplers import BaseSampler


@dataclass(frozen=True, repr=False)
class TuningResults(DataFrameView):
    """Studies of a search, one per method.

    Attributes:
        studies: Optuna studies.
        runs: Folder of all runs; the studies' files are in its ``studies``.
    """

    studies: tuple[Study, ...]
    runs: Path

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per finished or pruned trial.

        Returns:
            Columns ``study``, ``trial`` (number), ``state`` (``complete`` or ``pruned``), ``f1`` (validation F1 as a
            fraction, missing if pruned), ``seconds`` and ``frames`` of training, and one column
            ``recipe.<key>`` per searched recipe value.
        """
        import pandas as pd

        from aubench.tuning.study_files import cost_of_trials
        from aubench.tuning.worker import finished_trials

        rows = []
        for study in self.studies:
            for trial in finished_trials(study):
                seconds, frames = cost_of_trials([trial])
                is_complete = trial.state.name == "COMPLETE"
                row = {"study": study.study_name, "trial": trial.number, "state": trial.state.name.lower()}
                row |= {"f1": trial.value if is_complete else None, "seconds": seconds, "frames": frames}
                rows.append(row | {f"recipe.{key}": value for key, value in trial.params.items()})
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return the table that ``aubench tune`` prints. Pre-training that trials share counts once."""
        from tabulate import tabulate

        from aubench.tuning.search_config import STUDIES
        from aubench.tuning.study_files import cost_of_trials
        from aubench.tuning.worker import finished_trials

        rows, trials = [], self.to_dataframe()
        for study in self.studies:
            group = trials[trials["study"] == study.study_name]
            complete = group[group["state"] == "complete"]
            best = complete.sort_values(["f1", "trial"], ascending=[False, True]).head(1).to_dict("records")
            seconds, frames = cost_of_trials(finished_trials(study))
            rows.append(
                (
                    study.study_name,
                    f"{len(group)} ({len(group) - len(complete)} pruned)",
                    f"{100 * best[0]['f1']:.1f}" if best else "–",
                    str(best[0]["trial"]) if best else "–",
                    f"{seconds:,.0f}",
                    f"{frames:,}",
                    str(self.runs / STUDIES / study.study_name),
                )
            )
        headers = ("study", "trials", "best validation F1", "of trial", "seconds", "frames", "folder")
        return tabulate(rows, headers, "github", disable_numparse=True)


def tune(
    method: Names,
    protocol: str,
    trials: int,
    *,
    storage: str | None = None,
    sampler: str | BaseSampler = "tpe",
    pruner: str = "hyperband",
    fold: int | str | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    space: Names | None = None,
    modalities: Names | None = None,
    study: str | None = None,
    seed: int = 0,
    store: Stores = None,
    device: str = "auto",
    engine: str = "local",
    slurm: str | None = None,
    address: str | None = None,
    gpus_per_fold: float | None = None,
    precision: str = "32-true",
    runs: AnyPath = "runs",
    track: bool = False,
) -> TuningResults:
    """Search recipes by validation F1.

    Repeat to resume a search, or to add a worker to it.

    Args:
        method: Comma-separated names or ``.py`` files, or ``all``: every method that supports the protocol.
        protocol: Name of a protocol, or a ``.toml`` file.
        trials: Trials per method, over all workers.
        storage: A database, or ``journal:PATH`` [default: RUNS/studies.db].
        sampler: ``tpe``, ``gp``, ``random`` or ``cmaes``.
        pruner: ``hyperband``, ``median`` or ``none``.
        fold: Only this fold [default: mean over all folds].
        preset: Recipe preset [default: the protocol's].
        overrides: Recipe values that differ from the preset.
        space: Fields to search [default: all whose range has the preset's value].
        modalities: Modalities to narrow the protocol to, e.g. ``visual,depth``.
        study: Name of the study; the methods' names are appended if there are several.
        seed: Seed of the suggestions and of all trials.
        store: Store of the data set. Of several data sets, one each, as DIR or NAME=DIR.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        engine: Engine that runs the folds: ``local``, ``slurm`` or ``ray``.
        slurm: Options of Slurm jobs, e.g. ``partition=gpu,time=4h``.
        address: Address of the Ray cluster [default: RAY_ADDRESS, or the one of this machine].
        gpus_per_fold: GPUs of each fold on Ray, e.g. 0.5 [default: 1].
        precision: ``32-true``, ``tf32`` (NVIDIA GPUs) or ``bf16-mixed``.
        runs: Folder of all runs.
        track: Send new results to MLflow.

    Returns:
        One study per method. Pruned trials count. An Optuna sampler may replace the name of one.

    Raises:
        AubenchError: An argument is invalid or a trial failed.
    """
    from aubench.runs.fold_process import preload_workers

    trials, narrowed = check_count(trials, "--trials"), find_narrowed(protocol, modalities)
    preload_workers(engine)  # imports at the same time as this process below

    from optuna.samplers import BaseSampler

    from aubench.engines.choice import choose_engine
    from aubench.plots import study_report
    from aubench.runs.run_options import RunOptions
    from aubench.runs.store_ref import StoreRef
    from aubench.tracking.studies import Tracking
    from aubench.tuning.search_config import create_search
    from aubench.tuning.storage import PRUNERS, SAMPLERS, check_name, storage_url
    from aubench.tuning.study import check_stored, run_search

    own_sampler = sampler if isinstance(sampler, BaseSampler) else None
    if own_sampler is None:
        check_name(sampler, SAMPLERS, "--sampler")
    check_name(pruner, PRUNERS, "--pruner")
    seed = check_seed(seed)
    options = RunOptions(preset, check_overrides(overrides), precision=precision, runs=writable_runs(runs))
    names = select_methods(method, narrowed, options)
    choice = choose_engine(engine, device, slurm=slurm, address=address, gpus_per_fold=gpus_per_fold)
    choice.require(precision)
    reference = StoreRef.from_store(open_data(narrowed, store))
    searches = []
    for name in names:
        with recipe_errors_of(name, names):
            search = create_search(
                name,
                narrowed,
                reference,
                options,
                folds=narrowed.fold_numbers(fold),
                space=None if space is None else split_names(space),
                seed=seed,
                sampler=sampler if isinstance(sampler, str) else type(sampler).__name__,
                pruner=pruner,
                name=f"{study}-{Path(name).stem}" if study and len(names) > 1 else study,
            )
        searches.append(search)
    _check_distinct([search.name for search in searches])
    url = storage_url(storage, options.runs)
    check_stored(searches[1:], url)  # the first search checks its own study
    studies = []
    for search in searches:
        send = Tracking(search.folder, print_line).send if track else lambda: None
        studies.append(run_search(search, url, trials, choice, print_line, own_sampler, send))
        study_report.plot(studies[-1], search.folder, print_line)
        send()
    return TuningResults(tuple(studies), options.runs)


def _check_distinct(studies: list[str]) -> None:
    """Check that the methods have studies of their own.

    Raises:
        UsageError: Two files, or a file and an installed method, have the same name and therefore the same study.
    """
    from aubench.core.errors import UsageError

    for study in studies:
        if studies.count(study) > 1:
            hint = "rename a file, or search one at a time with --study"
            raise UsageError(f"two methods have the study '{study}'", where="--method", hint=hint)
