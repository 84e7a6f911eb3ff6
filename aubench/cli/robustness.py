"""``aubench robustness``: finished runs under test conditions, as tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aubench.cli.options import RUNS, Device, Runs, Store, Track, parse_numbers

if TYPE_CHECKING:
    from aubench.api.results_view import RobustnessResults


def robustness(
    suite: Annotated[
        str, typer.Option("--suite", help="amf, every_subset, mask, or a .toml file of conditions.")
    ] = "amf",
    noise: Annotated[
        str | None,
        typer.Option("--noise", metavar="SIGMAS", help="Comma-separated standard deviations instead of the suite's."),
    ] = None,
    method: Annotated[str | None, typer.Option("--method", help="Only these methods, separated by commas.")] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Only these protocols, separated by commas.")
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option("--run", metavar="RUN", help="Only this run, by folder or id; repeatable.")
    ] = None,
    runs: Runs = RUNS,
    store: Store = None,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the files [default: robustness/<protocol>].")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="markdown (md), latex, csv or json.")] = "markdown",
    track: Track = True,
) -> None:
    """Test finished runs under noise and missing modalities.

    Conditions that were evaluated before are not evaluated again.
    """
    from aubench import api

    sigmas = None if noise is None else parse_numbers(noise, "--noise", "standard deviations", "e.g. 0.1,0.2,0.5,0.8")
    api.evaluate_robustness(
        suite=suite,
        noise=sigmas,
        method=method,
        protocol=protocol,
        run=run or [],
        runs=runs,
        store=store,
        device=device,
        out=out,
        form=form,
        track=track,
        report=_print,
    )


def _print(results: RobustnessResults) -> None:
    if results.text:
        typer.echo(results.text)
    for path in results.paths:
        typer.echo(f"wrote {path}")
