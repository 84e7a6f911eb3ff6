"""``aubench run``: train and score methods under a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aubench.cli.options import (
    RUNS,
    Device,
    Modalities,
    Overrides,
    Precision,
    Preset,
    Runs,
    Seeds,
    Store,
    Track,
    parse_overrides,
    parse_seeds,
)

if TYPE_CHECKING:
    from aubench.api import Results


def run(
    method: Annotated[
        str | None,
        typer.Option("--method", help="Comma-separated names or .py files, or `all` that support the protocol."),
    ] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="Name of a protocol, or a .toml file.")] = None,
    seed: Seeds = "0",
    fold: Annotated[str | None, typer.Option("--fold", help="Only this fold, by number or alias.")] = None,
    preset: Preset = None,
    overrides: Overrides = None,
    pretrained: Annotated[
        str | None,
        typer.Option("--pretrained", help="Initial weights: imagenet, mae, videomae, none or a .safetensors file."),
    ] = None,
    selection: Annotated[
        str, typer.Option("--selection", help="Selection of the epoch: inner_val, last or oracle_test (leaks).")
    ] = "inner_val",
    modalities: Modalities = None,
    store: Store = None,
    device: Device = "auto",
    precision: Precision = "32-true",
    runs: Runs = RUNS,
    track: Track = True,
    from_study: Annotated[
        str | None, typer.Option("--from-study", metavar="NAME", help="Run the best recipe of a study.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", metavar="URL", help="Storage of the study of --from-study.")
    ] = None,
) -> None:
    """Train and score methods on every fold.

    Repeat the command to resume an interrupted run.
    """
    from aubench import api

    api.run(
        method,
        protocol,
        seeds=parse_seeds(seed),
        fold=fold,
        preset=preset,
        overrides=parse_overrides(overrides),
        pretrained=pretrained,
        selection=selection,
        modalities=modalities,
        store=store,
        device=device,
        precision=precision,
        runs=runs,
        track=track,
        from_study=from_study,
        storage=storage,
        report=_print,
    )


def _print(results: Results) -> None:
    if results.stored_records:
        typer.echo(results.summary())
