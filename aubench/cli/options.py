"""Options that several commands share, and parsers of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

RUNS = Path("runs")
"""Default folder of all runs."""
ROOT = Path("leaderboard")
"""Default folder of the leaderboard."""

Preset = Annotated[str | None, typer.Option("--preset", help="Recipe preset [default: the protocol's].")]
Modalities = Annotated[str | None, typer.Option("--modalities", help="Narrow the protocol, e.g. visual,depth.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe value; repeatable.")
]
Seeds = Annotated[str, typer.Option("--seed", help="One seed, or several separated by commas.")]
ProtocolName = Annotated[str, typer.Option("--protocol", help="Name of a protocol, or a .toml file.")]
Store = Annotated[Path | None, typer.Option("--store", metavar="DIR", help="Store of the data set.")]
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder of all runs.")]
Root = Annotated[Path, typer.Option("--root", metavar="DIR", help="Folder of the leaderboard.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option("--precision", help="32-true or bf16-mixed.")]
Track = Annotated[bool, typer.Option("--track/--no-track", help="Send new results to MLflow.")]


def parse_seeds(text: str) -> list[int]:
    """Return comma-separated seeds.

    Raises:
        UsageError: A word is not a non-negative integer.
    """
    from aubench.core.errors import UsageError

    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise UsageError(f"'{text}' is not a seed", where="--seed", hint="use whole numbers such as 0 or 0,1,2")
    return list(map(int, words))


def parse_overrides(pairs: list[str] | None) -> dict[str, Any]:
    """Return recipe values from ``KEY=VALUE``; a value is JSON, or text if it is not valid JSON.

    Raises:
        UsageError: A pair has no ``=``.
    """
    import json

    from aubench.core.errors import UsageError

    values: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"'{pair}' is not KEY=VALUE", where="--set")
        try:
            values[key.strip()] = json.loads(text)
        except json.JSONDecodeError:
            values[key.strip()] = text
    return values


def parse_numbers(text: str, option: str, what: str, hint: str) -> list[float]:
    """Return comma-separated numbers.

    Raises:
        UsageError: A word is not a number.
    """
    from aubench.core.errors import UsageError

    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"'{text}' is not a list of {what}", where=option, hint=hint) from None
