"""``aubench leaderboard``: add, build, check, show. Works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Keep and check the leaderboard.", no_args_is_help=True)

Root = Annotated[Path, typer.Option("--root", help="The leaderboard's folder.", metavar="DIR")]
_ROOT = Path("leaderboard")


@app.command()
def add(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs, or folders that hold such.")
    ],
    root: Root = _ROOT,
) -> None:
    """Check records of runs and copy them in, all or none."""
    from aubench.leaderboard.add import add as add_runs

    added = add_runs(runs, root)
    for finding in added.skipped_runs:
        typer.echo(f"passed over {finding}", err=True)
    for place in added.paths:
        typer.echo(f"added {place}")
    typer.echo("run `aubench leaderboard build` to renew its pages")


@app.command()
def build(root: Root = _ROOT) -> None:
    """Make the leaderboard's pages from its records."""
    from aubench.leaderboard.build import write

    for page in write(root):
        typer.echo(f"wrote {page}")


@app.command()
def check(root: Root = _ROOT) -> None:
    """Recompute every number from the counts.

    Names whatever does not fit (exit code 1).
    """
    from aubench.core.errors import CheckFailed
    from aubench.leaderboard.check import check as check_root

    findings = check_root(root)
    for finding in findings:
        typer.echo(str(finding), err=True)
    if findings:
        raise CheckFailed(f"{len(findings)} {'thing does' if len(findings) == 1 else 'things do'} not fit", where=root)
    typer.echo(f"{root}: every number follows from its counts")


@app.command()
def draw(
    protocol: Annotated[str, typer.Argument(help="The protocol to draw.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The PNG file to write.")],
    root: Root = _ROOT,
) -> None:
    """Draw the first table of a protocol as a picture."""
    from aubench.plots import leaderboard_plot

    leaderboard_plot.plot(root, protocol, out)
    typer.echo(f"wrote {out}")


@app.command()
def show(
    protocol: Annotated[str | None, typer.Argument(help="The protocol to show; all with records by default.")] = None,
    named: Annotated[str | None, typer.Option("--protocol", help="The same as an option.", metavar="NAME")] = None,
    root: Root = _ROOT,
) -> None:
    """Print the tables, and what was measured beside what papers report."""
    from aubench.core.errors import UsageError
    from aubench.leaderboard.build import render_tables

    if protocol is not None and named is not None and protocol != named:
        raise UsageError(f"'{protocol}' and '{named}' are two protocols", where="--protocol", hint="name one")
    typer.echo(render_tables(root, protocol or named), nl=False)
