"""Printed results of commands: paths of written files, skipped runs, and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from aubench.leaderboard.records import Finding

TABLE_FORMATS = ("markdown", "csv", "json")
"""Formats of printed tables."""


def print_paths(paths: Iterable[Path], *, err: bool = False) -> None:
    """Print a line for each written file, on stderr after a table."""
    for path in paths:
        typer.echo(f"wrote {path}", err=err)


def print_skipped(findings: Iterable[Finding]) -> None:
    """Print a line on stderr for each skipped run."""
    for finding in findings:
        typer.echo(f"skipped {finding}", err=True)


def print_frame(frame: pd.DataFrame, form: str, **short: Callable[[Any], str]) -> None:
    """Print a table; Markdown has shortened columns."""
    from aubench.api.formats import check_form, frame_text

    form = check_form(form, TABLE_FORMATS)
    if form == "markdown":
        frame = frame.assign(**{name: frame[name].map(shorten) for name, shorten in short.items()})
    typer.echo(frame_text(frame, form), nl=False)
