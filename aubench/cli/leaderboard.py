"""``aubench leaderboard``: add, build, check, show. Works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aubench.cli.options import ROOT, Root

app = typer.Typer(help="Maintain and check the leaderboard.", no_args_is_help=True)


@app.command()
def add(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of one or more finished runs.")],
    root: Root = ROOT,
) -> None:
    """Check the records of runs and copy them, all or none."""
    from aubench.leaderboard.add import add as add_runs

    added = add_runs(runs, root)
    for finding in added.skipped_runs:
        typer.echo(f"skipped {finding}", err=True)
    for path in added.paths:
        typer.echo(f"added {path}")
    typer.echo("run `aubench leaderboard build` to update its pages")


@app.command()
def build(root: Root = ROOT) -> None:
    """Build the pages of the leaderboard from its records."""
    from aubench.leaderboard.build import write
    from aubench.papers.leaderboard_pages import EXTENSIONS

    for page in write(root, EXTENSIONS):
        typer.echo(f"wrote {page}")


@app.command()
def check(
    root: Root = ROOT,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Also verify records again that this machine verified before.")
    ] = False,
) -> None:
    """Recompute all numbers from the counts.

    Each disagreement is an error (exit code 1). Results of earlier verifications of the same files by the same code are
    reused from the user's cache folder.
    """
    from aubench.core.errors import CheckFailed
    from aubench.leaderboard.check import check as check_root
    from aubench.papers.leaderboard_pages import EXTENSIONS

    findings = check_root(root, extensions=EXTENSIONS, use_cache=not no_cache)
    for finding in findings:
        typer.echo(str(finding), err=True)
    if findings:
        raise CheckFailed(f"{len(findings)} problem{'s' * (len(findings) > 1)} found", where=root)
    typer.echo(f"{root}: all numbers agree with their counts")


@app.command()
def draw(
    protocol: Annotated[str, typer.Argument(help="Protocol to draw.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="PNG file to write.")],
    root: Root = ROOT,
) -> None:
    """Draw the first table of a protocol as an image."""
    from aubench.plots import leaderboard_plot

    leaderboard_plot.plot(root, protocol, out)
    typer.echo(f"wrote {out}")


@app.command()
def show(
    protocol: Annotated[str | None, typer.Argument(help="Protocol to show; all with records by default.")] = None,
    named: Annotated[str | None, typer.Option("--protocol", help="Protocol to show.", metavar="NAME")] = None,
    root: Root = ROOT,
    form: Annotated[str, typer.Option("--format", help="text, markdown (md), csv or json.")] = "text",
) -> None:
    """Print the tables, with measured and reported numbers.

    csv and json have one row per method or baseline, F1 and other metrics as fractions.
    """
    from aubench import api
    from aubench.api.formats import check_form
    from aubench.core.errors import UsageError

    if protocol is not None and named is not None and protocol != named:
        raise UsageError(f"'{protocol}' and '{named}' are two protocols", where="--protocol", hint="name one")
    form = check_form(form, ("text", "markdown", "csv", "json"))
    typer.echo(api.load_leaderboard(root, protocol or named).render(form), nl=False)
