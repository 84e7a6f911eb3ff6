"""Options that several commands share, so that a word means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, overload

import typer

RUNS = Path("runs")
"""Where runs lie unless somebody says otherwise."""

Preset = Annotated[str | None, typer.Option("--preset", help="Recipe preset [default: the protocol's].")]
Modalities = Annotated[str | None, typer.Option("--modalities", help="Narrow the protocol, e.g. visual,depth.")]
Store = Annotated[Path | None, typer.Option("--store", metavar="DIR", help="The dataset's store.")]
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="The folder of all runs.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option("--precision", help="32-true or bf16-mixed.")]
TableFormat = Annotated[str, typer.Option("--format", help="Of tables: markdown, latex or csv.")]


@overload
def split_commas(text: str) -> list[str]: ...
@overload
def split_commas(text: None) -> None: ...
def split_commas(text: str | None) -> list[str] | None:
    """The words of an option that are separated by commas; None where it was not given."""
    return None if text is None else [word.strip() for word in text.split(",")]
