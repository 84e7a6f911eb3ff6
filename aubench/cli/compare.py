"""``aubench compare``: which of several methods can be told apart. Works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    contestants: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...", help="Folders of finished runs, or that hold such; or METHOD@PROTOCOL of the leaderboard."
        ),
    ],
    condition: Annotated[
        str, typer.Option("--condition", help="What was done to the test inputs, as the records name it.")
    ] = "clean",
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="The leaderboard's folder.")] = Path(
        "leaderboard"
    ),
    form: Annotated[str, typer.Option("--format", help="markdown, latex or csv.")] = "markdown",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there, not to the terminal.")] = None,
) -> None:
    """Compare methods by their records.

    F1, differences with intervals, paired tests and ranks.
    """
    from aubench._util import atomic
    from aubench.core.errors import UsageError, suggest
    from aubench.leaderboard import comparison_set, pairwise, pairwise_tables

    if form not in pairwise_tables.FORMATS:
        raise UsageError(f"no format '{form}'", where="--format", hint=suggest(form, pairwise_tables.FORMATS))
    found = comparison_set.with_condition(comparison_set.load_comparison_set(contestants, root), condition)
    for finding in found.skipped_runs:
        typer.echo(f"passed over {finding}", err=True)
    text = pairwise_tables.render(pairwise.compare(found, condition), form)
    if out is None:
        typer.echo(text, nl=False)
    else:
        atomic.write_text(out, text)
        typer.echo(f"wrote {out}")
