"""``aubench tune``: search recipes on the inner validation."""

from __future__ import annotations

from typing import Annotated

import typer

from aubench.cli.options import (
    RUNS,
    Device,
    Modalities,
    Overrides,
    Precision,
    Preset,
    ProtocolName,
    Runs,
    Store,
    Track,
    parse_overrides,
)


def tune(
    method: Annotated[
        str, typer.Option("--method", help="Comma-separated names or .py files, or `all` that support the protocol.")
    ],
    protocol: ProtocolName,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Trials per method, over all workers.")],
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help="A database, or journal:PATH [default: RUNS/studies.db]."),
    ] = None,
    sampler: Annotated[str, typer.Option("--sampler", help="tpe, gp, random or cmaes.")] = "tpe",
    pruner: Annotated[str, typer.Option("--pruner", help="hyperband, median or none.")] = "hyperband",
    fold: Annotated[str | None, typer.Option("--fold", help="Only this fold [default: mean over all folds].")] = None,
    preset: Preset = None,
    overrides: Overrides = None,
    space: Annotated[
        str | None, typer.Option("--space", metavar="KEY,KEY", help="Fields to search [default: all with a range].")
    ] = None,
    modalities: Modalities = None,
    study: Annotated[str | None, typer.Option("--study", help="Name of the study.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the suggestions and of all trials.")] = 0,
    store: Store = None,
    device: Device = "auto",
    precision: Precision = "32-true",
    runs: Runs = RUNS,
    track: Track = True,
) -> None:
    """Search recipes by validation F1.

    Repeat the command to resume a search, or to add a worker to it.
    """
    from aubench import api

    results = api.tune(
        method,
        protocol,
        trials,
        storage=storage,
        sampler=sampler,
        pruner=pruner,
        fold=fold,
        preset=preset,
        overrides=parse_overrides(overrides),
        space=space,
        modalities=modalities,
        study=study,
        seed=seed,
        store=store,
        device=device,
        precision=precision,
        runs=runs,
        track=track,
    )
    typer.echo(results.summary())
