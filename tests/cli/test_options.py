"""Commands generated from functions: every parameter becomes an option, with its default and its help."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from aubench.cli.main import app
from aubench.cli.options import Options, command, parse_overrides
from aubench.core.errors import UsageError


def example(
    name: str,
    *,
    count: int = 3,
    fast: bool = False,
    label: str | None = None,
    overrides: dict[str, object] | None = None,
    track: bool = False,
    report=lambda results: None,
) -> None:
    """Show an example.

    It has a second paragraph.

    Args:
        name: Name of the ``example``.
        count: Number of
            things.
        fast: Skip the wait.
        label: Label [default: none].
        overrides: Recipe values.
        track: Send it.
        report: Not an option.

    Raises:
        ValueError: Never.
    """


@pytest.fixture
def run():
    received: list[Options] = []

    @command(example)
    def action(options: Options, extra: str = "x") -> None:
        received.append({**options, "extra": extra})

    group = typer.Typer(add_completion=False, rich_markup_mode=None)
    group.command()(action)

    def call(*words: str):
        return CliRunner().invoke(group, list(words)), received

    return call


def test_a_parameter_of_a_function_is_an_option_with_its_default(run):
    _, received = run("--name", "a")
    assert received == [{"name": "a", "count": 3, "fast": False, "track": True, "extra": "x"}]
    _, received = run("--name", "a", "--count", "5", "--fast", "--label", "b", "--no-track", "--set", "epochs=2")
    assert received[1] | {"overrides": {"epochs": 2}} == received[1]
    assert (received[1]["count"], received[1]["fast"], received[1]["label"], received[1]["track"]) == (
        5,
        True,
        "b",
        False,
    )


def test_the_help_is_the_docstring(run):
    text = " ".join(run("--help")[0].output.split())
    assert "Show an example. It has a second paragraph. Options:" in text
    assert "Name of the example. [required]" in text and "Number of things. [default: 3]" in text
    assert "report" not in text and "Never" not in text


def test_every_option_of_every_command_has_help():
    def leaves(group, path):
        for name in group.list_commands(None):
            inner = group.get_command(None, name)
            yield from (
                leaves(inner, f"{path} {name}") if hasattr(inner, "list_commands") else [(f"{path} {name}", inner)]
            )

    commands = dict(leaves(typer.main.get_command(app), "aubench"))
    assert len(commands) > 20
    without = [(path, p.name) for path, each in commands.items() for p in each.params if not getattr(p, "help", "")]
    assert without == [] and all(each.help for each in commands.values())


def test_override_values_are_json_or_text():
    pairs = ["epochs=2", "weights=none", "milestones=[1, 2]", "name=a=b"]
    values = {"epochs": 2, "weights": "none", "milestones": [1, 2], "name": "a=b"}
    assert parse_overrides(pairs) == values
    with pytest.raises(UsageError, match="--set: 'epochs' is not KEY=VALUE"):
        parse_overrides(["epochs"])
    for value in ("[" * 200_000, "1" * 5000):
        with pytest.raises(UsageError, match="--set: the value of epochs is too long"):
            parse_overrides([f"epochs={value}"])
