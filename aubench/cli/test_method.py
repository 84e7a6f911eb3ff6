"""``aubench test-method``: the contract, checked on anybody's method."""

from __future__ import annotations

from typing import Annotated

import typer


def test_method(
    name: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A method's name, or a .py file.")],
    preset: Annotated[str, typer.Option("--preset", help="Recipe preset to build it with.")] = "tiny",
) -> None:
    """Check that a method keeps its contract (exit code 1 if not)."""
    from aubench.core import registry
    from aubench.core.errors import CheckFailed
    from aubench.testing.check_method import check_method

    results = check_method(registry.find_method(name), preset)
    for result in results:
        typer.echo(
            f"{'ok  ' if result.passed else 'FAIL'} {result.name}{f': {result.detail}' if result.detail else ''}"
        )
    broken = sum(not result.passed for result in results)
    if broken:
        raise CheckFailed(f"{broken} of {len(results)} checks failed", where=name)
