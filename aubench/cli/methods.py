"""``aubench methods`` and ``aubench protocols``: what there is to compare, and under which rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def methods(
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="Write everything about the built-in ones there.")
    ] = None,
) -> None:
    """List the methods.

    With modalities, fidelity, parameters of the paper's recipe, and paper.
    """
    from tabulate import tabulate

    from aubench._util import atomic
    from aubench.cli import method_reference
    from aubench.core import registry

    if page is not None:
        atomic.write_text(page, method_reference.page(registry.builtin_methods()))
        return
    rows = []
    for name in registry.method_names():
        entry = registry.find_method(name)
        widest, card = next(method_reference.costs(entry, "paper")), entry.method_class.card
        parameters = f"{widest.compute.total.parameters / 1e6:.1f} M"
        rows.append((name, widest.letters, card.fidelity, parameters, card.paper))
    typer.echo(tabulate(rows, ["method", "modalities", "fidelity", "parameters", "paper"], "github"))


def protocols() -> None:
    """List the protocols: version, modalities, folds, digest."""
    from tabulate import tabulate

    from aubench.core import registry

    found = [registry.find_protocol(name) for name in registry.builtin_protocols()]
    rows = [
        (
            p.name,
            p.version,
            "+".join(m.letter for m in p.modalities),
            len(p.folds),
            len(p.subjects),
            p.digest[:12],
            p.title,
        )
        for p in found
    ]
    typer.echo(tabulate(rows, ["protocol", "version", "modalities", "folds", "subjects", "digest", "title"], "github"))
