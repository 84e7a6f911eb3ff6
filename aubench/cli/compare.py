"""``aubench compare``: scores, pairwise tests and ranks of methods. Works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aubench.cli.options import ROOT, Root


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="A B...", help="Folders of one or more finished runs, or METHOD@PROTOCOL."),
    ],
    condition: Annotated[str, typer.Option("--condition", help="Test condition, as named in the records.")] = "clean",
    root: Root = ROOT,
    form: Annotated[str, typer.Option("--format", help="markdown (md), latex, csv or json.")] = "markdown",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write to this file.")] = None,
) -> None:
    """Compare methods by their records.

    F1, differences with intervals, paired tests and ranks. METHOD@PROTOCOL names a method's runs on the leaderboard.
    """
    from aubench import api
    from aubench._util import atomic
    from aubench.api.formats import check_form

    form = check_form(form)
    results = api.compare(runs, condition=condition, root=root)
    for finding in results.skipped_runs:
        typer.echo(f"skipped {finding}", err=True)
    text = results.render(form)
    if out is None:
        typer.echo(text, nl=False)
    else:
        atomic.write_text(out, text)
        typer.echo(f"wrote {out}")
