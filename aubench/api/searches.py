"""Function that searches recipes, and its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util.progress import count_progress, print_line
from aubench.api.planning import Names, select_methods, split_names

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study
    from optuna.samplers import BaseSampler


@dataclass(frozen=True)
class TuningResults:
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

        from aubench.tuning.study_files import total_cost
        from aubench.tuning.worker import COST, finished_trials

        rows = []
        for study in self.studies:
            for trial in finished_trials(study):
                seconds, frames = total_cost([trial.user_attrs[COST]] if COST in trial.user_attrs else [])
                is_complete = trial.state.name == "COMPLETE"
                row = {"study": study.study_name, "trial": trial.number, "state": trial.state.name.lower()}
                row |= {"f1": trial.value if is_complete else None, "seconds": seconds, "frames": frames}
                rows.append(row | {f"recipe.{key}": value for key, value in trial.params.items()})
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return the table that ``aubench tune`` prints."""
        from tabulate import tabulate

        from aubench.tuning.search_config import STUDIES

        rows, trials = [], self.to_dataframe()
        for study in self.studies:
            group = trials[trials["study"] == study.study_name]
            complete = group[group["state"] == "complete"]
            best = complete.sort_values(["f1", "trial"], ascending=[False, True]).head(1).to_dict("records")
            rows.append(
                (
                    study.study_name,
                    f"{len(group)} ({len(group) - len(complete)} pruned)",
                    f"{100 * best[0]['f1']:.1f}" if best else "–",
                    str(best[0]["trial"]) if best else "–",
                    f"{group['seconds'].sum():,.0f}",
                    f"{group['frames'].sum():,}",
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
    store: str | Path | None = None,
    device: str = "auto",
    precision: str = "32-true",
    runs: str | Path = "runs",
    track: bool = False,
) -> TuningResults:
    """Search recipes by F1 on the inner validation, as ``aubench tune`` does.

    Repeat the call to resume a search. Several processes that make the same call share the trials.

    Args:
        method: Names or ``.py`` files, or ``all``; one study each.
        protocol: Name of a protocol, or a ``.toml`` file.
        trials: Number of finished or pruned trials per method, over all processes.
        storage: URL of a database, or ``journal:PATH``; an SQLite file in ``runs`` if None.
        sampler: ``tpe``, ``gp``, ``random`` or ``cmaes``, or an Optuna sampler.
        pruner: ``hyperband``, ``median`` or ``none``.
        fold: Number or alias of the only fold to train; the mean over all folds is maximised if None.
        preset: Name of the recipe preset; the protocol's if None.
        overrides: Recipe values that are fixed in every trial.
        space: Names of the fields to search; all with a range if None.
        modalities: Modalities to narrow the protocol to.
        study: Name of the study, followed by the method's name if there are several methods.
        seed: Seed of the suggestions and of all trials.
        store: Folder of the data set's store; the default one if None.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``; one device is used.
        precision: ``32-true`` or ``bf16-mixed``.
        runs: Folder of all runs.
        track: Whether to send the studies to MLflow.

    Raises:
        AubenchError: An argument is invalid or a trial failed.
    """
    from aubench.core import registry
    from aubench.plots import study_report
    from aubench.tracking.studies import Tracking
    from aubench.tuning import tuner
    from aubench.tuning.search_config import STUDIES

    fixed, names = dict(overrides or {}), split_names(method)
    narrowed_to = None if modalities is None else split_names(modalities)
    if names == ["all"]:
        narrowed = registry.find_protocol(protocol, narrowed_to)
        names = select_methods(names, narrowed, preset or narrowed.preset, fixed)
    trackers: dict[Path, Tracking] = {}

    def send(folder: Path) -> None:
        if track:
            trackers.setdefault(folder, Tracking(folder, print_line)).send()

    studies = []
    for name in dict.fromkeys(names):
        with count_progress("sequences generated") as progress:
            studies.append(
                tuner.tune(
                    name,
                    protocol,
                    trials,
                    storage=storage,
                    sampler=sampler,
                    pruner=pruner,
                    fold=None if fold is None else str(fold),
                    preset=preset,
                    changes=fixed,
                    space=None if space is None else split_names(space),
                    modalities=narrowed_to,
                    study=f"{study}-{Path(name).stem}" if study and len(names) > 1 else study,
                    seed=seed,
                    precision=precision,
                    store=None if store is None else Path(store),
                    runs=Path(runs),
                    device=device,
                    on_trial=send,
                    say=print_line,
                    progress=progress,
                )
            )
        folder = Path(runs) / STUDIES / studies[-1].study_name
        study_report.plot(studies[-1], folder, print_line)
        send(folder)
    return TuningResults(tuple(studies), Path(runs))
