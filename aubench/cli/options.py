"""Commands generated from functions of the API: parameters become options, and the docstring becomes the help."""

from __future__ import annotations

import copy
import inspect
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
import typer.core
from typer.models import CommandFunctionType

Options = dict[str, Any]
"""Values of a function's parameters by name; absent if not given and without a default."""
Dir = Annotated[Path, typer.Option(metavar="DIR")]

_FORMS: dict[str, Any] = {
    "seeds": Annotated[str, typer.Option("--seed")],
    "overrides": Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe value; repeatable.")
    ],
    "form": Annotated[str, typer.Option("--format")],
    **dict.fromkeys(("store", "runs", "root"), Dir),
    "Stores": Annotated[list[str], typer.Option("--store", metavar="DIR")],
    "out": Annotated[Path, typer.Option(metavar="FILE")],
    "seed": Annotated[int, typer.Option(min=0)],
    "trials": Annotated[int, typer.Option(min=1)],
    "runs_per_device": Annotated[int, typer.Option(min=1, metavar="N")],
    "devices": Annotated[int, typer.Option(min=1, metavar="N")],
    "nodes": Annotated[int, typer.Option(min=1, metavar="N")],
    "gpus_per_fold": Annotated[float, typer.Option(metavar="GPUS")],
    "slurm": Annotated[str, typer.Option(metavar="KEY=VALUE,…")],
    "frames": Annotated[int, typer.Option(min=1, max=16)],
    "noise": Annotated[str, typer.Option(metavar="SIGMAS")],
    "space": Annotated[str, typer.Option(metavar="KEY,KEY")],
    "storage": Annotated[str, typer.Option(metavar="URL")],
    "from_run": Annotated[list[str], typer.Option(metavar="RUN")],
    "from_study": Annotated[str, typer.Option(metavar="NAME")],
}
"""Parameters, by annotation or name, that are not simply an option of their name with the type of their default.

The type of None is text.
"""
_DEFAULTS = {"track": True, "names": None}
"""Defaults that differ from those of the functions."""


def command(function: Callable[..., object], **forms: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the parameters of a function to a command, with their defaults and help.

    The command receives their values as its first argument. Its other parameters become options as typer defines.

    Args:
        function: Function of the API. Parameters whose default is a function are omitted.
        forms: Types annotated with ``typer.Argument`` or ``typer.Option``, by parameter.
    """
    description, texts = _parse_docstring(inspect.getdoc(function) or "")
    shared = [
        _parameter(
            parameter,
            forms.get(parameter.name) or _FORMS.get(parameter.annotation) or _FORMS.get(parameter.name),
            texts.get(parameter.name),
        )
        for parameter in inspect.signature(function).parameters.values()
        if not inspect.isfunction(parameter.default)
    ]

    def decorate(action: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(action, eval_str=True).parameters.values())[1:]

        def run(**values: Any) -> None:
            options = {parameter.name: values.pop(parameter.name) for parameter in shared}
            options = {name: value for name, value in options.items() if value is not None}
            if "overrides" in options:
                options["overrides"] = parse_overrides(options["overrides"])
            action(options, **values)

        parameters = [*shared, *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__doc__ = description
        return run

    return decorate


def _parameter(parameter: inspect.Parameter, form: Any, text: str | None) -> inspect.Parameter:
    default = _DEFAULTS.get(parameter.name, parameter.default)
    default = None if default == () else default
    kind = type(default) if isinstance(default, bool | int) else str
    kind, info = get_args(form) if form else (kind, typer.Option())
    info = copy.copy(info)
    info.help = info.help or text
    return inspect.Parameter(
        parameter.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _parse_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return the description in a Google docstring, and that of each argument."""
    sections = re.split(r"\n(?=(?:Args|Returns|Raises|Yields):\n)", text.replace("``", ""))
    arguments = next((section for section in sections if section.startswith("Args:")), "")
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE)
    return sections[0].strip(), {name: " ".join(entry.split()) for name, entry in entries}


class StrictCommand(typer.core.TyperCommand):
    """Command whose options with one value cannot be repeated. The parser alone would take the last value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            UsageError: An option is repeated.
        """
        from aubench.core.errors import UsageError

        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        counts = Counter(parameter.opts[0] for parameter in order if _has_one_value(parameter))
        if repeated := next((name for name, count in counts.items() if count > 1), None):
            hint = "give it once; options that take several values separate them by commas"
            raise UsageError("is given twice", where=repeated, hint=hint)
        return super().parse_args(ctx, args)


def _has_one_value(parameter: Any) -> bool:
    return parameter.param_type_name == "option" and not (parameter.multiple or parameter.is_flag or parameter.count)


class App(typer.Typer):
    """Group of commands that are strict about repeated options."""

    def command(self, *args: Any, **options: Any) -> Callable[[CommandFunctionType], CommandFunctionType]:
        """Register a command."""
        return super().command(*args, **{"cls": StrictCommand, **options})


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """Return recipe values from ``KEY=VALUE``; a value is JSON, or text if it is not valid JSON.

    Raises:
        UsageError: A pair has no ``=``, two have the same key, or a value has too many digits or brackets to be read.
    """
    from aubench.core.errors import UsageError

    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"'{pair}' is not KEY=VALUE", where="--set")
        if key.strip() in values:
            raise UsageError(f"{key.strip()} is given twice", where="--set", hint="give it once")
        try:
            values[key.strip()] = json.loads(text)
        except json.JSONDecodeError:
            values[key.strip()] = text
        except (ValueError, RecursionError):  # thousands of digits or brackets
            raise UsageError(f"the value of {key.strip()} is too long", where="--set") from None
    return values
