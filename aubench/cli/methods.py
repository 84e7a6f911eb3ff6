"""``aubench methods`` and ``aubench protocols``: lists of what is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

Form = Annotated[str, typer.Option("--format", help="markdown (md), csv or json.")]


def methods(
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="Write the reference page of built-in methods.")
    ] = None,
    form: Form = "markdown",
) -> None:
    """List the methods.

    With modalities, fidelity, number of parameters and paper.
    """
    from aubench._util import atomic
    from aubench.api.listings import list_methods
    from aubench.core import registry
    from aubench.papers import method_reference

    if page is not None:
        with atomic.atomic_write(page) as file:  # fails before the page is computed if it cannot be written
            file.write(method_reference.page(registry.builtin_methods()).encode())
    else:
        _print(list_methods(), form, parameters=lambda count: f"{count / 1e6:.1f} M")


def protocols(form: Form = "markdown") -> None:
    """List the protocols: version, modalities, folds, digest."""
    from aubench.api.listings import list_protocols

    _print(list_protocols(), form, digest=lambda digest: digest[:12])


def _print(frame: pd.DataFrame, form: str, **short: Callable[[Any], str]) -> None:
    """Print a table; Markdown has shortened columns."""
    from aubench.api.formats import check_form, frame_text

    form = check_form(form, ("markdown", "csv", "json"))
    if form == "markdown":
        frame = frame.assign(**{name: frame[name].map(shorten) for name, shorten in short.items()})
    typer.echo(frame_text(frame, form), nl=False)
