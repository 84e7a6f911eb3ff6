"""``aubench reproduce``: tables and figures of papers, with the numbers measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aubench.cli.options import (
    ROOT,
    RUNS,
    Device,
    Overrides,
    Preset,
    ProtocolName,
    Root,
    Runs,
    Seeds,
    Store,
    Track,
    parse_overrides,
    parse_seeds,
)


def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Tables and figures; lists them if none is given.")
    ] = None,
    all_exhibits: Annotated[bool, typer.Option("--all", help="All tables and figures.")] = False,
    protocol: ProtocolName = "synth_3fold",
    seed: Seeds = "0",
    preset: Preset = None,
    overrides: Overrides = None,
    form: Annotated[str, typer.Option("--format", help="Tables: markdown (md), latex or csv.")] = "markdown",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the files [default: reproduced/<protocol>].")
    ] = None,
    runs: Runs = RUNS,
    root: Root = ROOT,
    store: Store = None,
    device: Device = "auto",
    track: Track = True,
) -> None:
    """Reproduce tables and figures of papers.

    Trains the missing runs, then writes measured beside reported numbers.
    """
    from aubench import api

    seeds, values = parse_seeds(seed), parse_overrides(overrides)
    if not names and not all_exhibits:
        exhibits = api.list_exhibits(
            protocol=protocol, seeds=seeds, preset=preset, overrides=values, runs=runs, root=root, store=store
        )
        typer.echo(exhibits.to_markdown(index=False, tablefmt="github", disable_numparse=True))
        return
    results = api.reproduce(
        "all" if all_exhibits else names or [],
        protocol=protocol,
        seeds=seeds,
        preset=preset,
        overrides=values,
        form=form,
        out=out,
        runs=runs,
        root=root,
        store=store,
        device=device,
        track=track,
    )
    for path in results.paths:
        typer.echo(f"wrote {path}")
