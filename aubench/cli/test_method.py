"""``aubench test-method``: check the contract of a method."""

from __future__ import annotations

from typing import Annotated

import typer


def test_method(
    name: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Name of a method, or a .py file.")],
    preset: Annotated[str, typer.Option("--preset", help="Recipe preset of the checks.")] = "tiny",
) -> None:
    """Check the contract of a method.

    Exit code 1 if a check fails.
    """
    from aubench.core import registry
    from aubench.core.errors import CheckFailed
    from aubench.testing.check_method import check_method

    results = check_method(registry.find_method(name), preset)
    for result in results:
        detail = f": {result.detail}" if result.detail else ""
        typer.echo(f"{'ok  ' if result.passed else 'FAIL'} {result.name}{detail}")
    failures = sum(not result.passed for result in results)
    if failures:
        raise CheckFailed(f"{failures} of {len(results)} checks failed", where=name)
