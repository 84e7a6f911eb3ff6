"""``aubench tune``: search recipes on the inner validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aubench.cli.options import RUNS, Device, Modalities, Precision, Preset, Runs, Store, split_commas


def tune(
    method: Annotated[str, typer.Option("--method", help="A name or .py file, several by commas, or all that can.")],
    protocol: Annotated[str, typer.Option("--protocol", help="Name of a protocol, or a .toml file.")],
    trials: Annotated[int, typer.Option("--trials", min=1, help="Trials of each method, over all workers.")],
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help="A database, or journal:PATH [default: RUNS/studies.db]."),
    ] = None,
    sampler: Annotated[str, typer.Option("--sampler", help="tpe, gp, random or cmaes.")] = "tpe",
    pruner: Annotated[str, typer.Option("--pruner", help="hyperband, median or none.")] = "hyperband",
    fold: Annotated[str | None, typer.Option("--fold", help="Only this fold [default: the mean over all].")] = None,
    preset: Preset = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fix a recipe value; repeatable.")
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", metavar="KEY,KEY", help="Fields to search [default: all with a range].")
    ] = None,
    modalities: Modalities = None,
    study: Annotated[str | None, typer.Option("--study", help="Name of the study.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of suggestions and of all trials.")] = 0,
    store: Store = None,
    device: Device = "auto",
    precision: Precision = "32-true",
    runs: Runs = RUNS,
    track: Annotated[bool, typer.Option("--track/--no-track", help="Send the study to MLflow.")] = True,
) -> None:
    """Search recipes by validation F1.

    The same command again goes on, or works along.
    """
    from aubench.cli.progress import count_progress, print_line
    from aubench.cli.run import parse_changes, supports_protocol
    from aubench.core import registry
    from aubench.tuning.tuner import tune as search

    fixed = parse_changes(changes or [])
    names = registry.split_methods(method)
    if method == "all":
        found = registry.find_protocol(protocol, split_commas(modalities))
        names = [n for n in names if supports_protocol(registry.find_method(n), found, preset or found.preset, fixed)]
    several = len(names) > 1
    studies: list[Any] = []
    for name in names:
        with count_progress("sequences made") as progress:
            studies.append(
                search(
                    name,
                    protocol,
                    trials,
                    storage=storage,
                    sampler=sampler,
                    pruner=pruner,
                    fold=fold,
                    preset=preset,
                    changes=fixed,
                    space=split_commas(space),
                    modalities=split_commas(modalities),
                    study=f"{study}-{Path(name).stem}" if study and several else study,
                    seed=seed,
                    precision=precision,
                    store=store,
                    runs=runs,
                    device=device,
                    track=track,
                    say=print_line,
                    progress=progress,
                )
            )
    _summary(studies, runs)


def _summary(studies: list[Any], runs: Path) -> None:
    """Print what the studies found."""
    from tabulate import tabulate

    from aubench.tuning.search_config import STUDIES
    from aubench.tuning.study_files import total_cost
    from aubench.tuning.worker import COST, finished_trials

    rows = []
    for study in studies:
        done = finished_trials(study)
        complete = [trial for trial in done if trial.state.name == "COMPLETE"]
        best = max(complete, key=lambda trial: (trial.value, -trial.number), default=None)
        seconds, frames = total_cost([trial.user_attrs[COST] for trial in done if COST in trial.user_attrs])
        rows.append(
            (
                study.study_name,
                f"{len(done)} ({len(done) - len(complete)} pruned)",
                "–" if best is None or best.value is None else f"{100 * best.value:.1f}",
                "–" if best is None else str(best.number),
                f"{seconds:,.0f}",
                f"{frames:,}",
                str(runs / STUDIES / study.study_name),
            )
        )
    headers = ("study", "trials", "best validation F1", "of trial", "seconds", "frames", "folder")
    typer.echo(tabulate(rows, headers, "github", disable_numparse=True))
