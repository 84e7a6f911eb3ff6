"""``aubench data``: prepare, check, show."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

import typer
from typer.core import TyperGroup

from aubench import api
from aubench.cli.options import App, Dir, Options, command

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from aubench.datasets.base import Dataset


class _PrepareGroup(TyperGroup):
    """Commands generated from the registry of data sets when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        from aubench.datasets.catalog import DATASETS

        return DATASETS.names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from aubench.datasets.catalog import DATASETS

        return _prepare_command(DATASETS.get(cmd_name))


app = App(help="Prepare, check and display stores.", no_args_is_help=True)
prepare = App(cls=_PrepareGroup, help="Decode, crop and align a data set into a store.", no_args_is_help=True)
app.add_typer(prepare, name="prepare")
prepare.callback()(lambda: None)

_Store = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="Folder of the store [default: $AUBENCH_STORES/<dataset>]."),
]
_Exported = Annotated[str, typer.Argument(metavar="STORE")]
_Name = Annotated[str, typer.Argument(metavar="DATASET")]


def _prepare_command(dataset: Dataset) -> Any:
    """Return the command that prepares a data set; its options are the fields of the data set's ``Options``."""

    def run(**options: Any) -> None:
        typer.echo("\n".join(api.prepare_store(dataset.name, **options)))

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("store", kind, default=None, annotation=_Store)]
    if dataset.needs_source:
        flag, metavar, text = dataset.source_option
        source = Annotated[Path, typer.Option(flag, metavar=metavar, help=text)]
        parameters.insert(0, inspect.Parameter("source", kind, annotation=source))
    for name, field in dataset.Options.model_fields.items():
        default = inspect.Parameter.empty if field.is_required() else field.default
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=_option(name, field)))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    single = App(add_completion=False, rich_markup_mode=None)
    single.command(dataset.name, help=f"{dataset.title}. Repeat the command to resume.", short_help=dataset.title)(run)
    return typer.main.get_command(single)


def _option(name: str, field: FieldInfo) -> Any:
    """Return the annotation of a command-line option; the model checks choices, the parser checks bounds."""
    bounds = {key: getattr(entry, key) for entry in field.metadata for key in ("ge", "le") if hasattr(entry, key)}
    flags = f"--{name.replace('_', '-')}"
    flags += f"/--no-{name.replace('_', '-')}" if field.annotation is bool else ""
    kind = str if get_origin(field.annotation) is Literal else field.annotation
    return Annotated[kind, typer.Option(flags, help=field.description, min=bounds.get("ge"), max=bounds.get("le"))]


@app.command("check")
@command(api.check_store, dataset=_Name)
def _check(options: Options) -> None:
    typer.echo(api.check_store(**options))


@app.command("show")
@command(api.draw_store, dataset=_Name)
def _show(options: Options) -> None:
    typer.echo(f"wrote {api.draw_store(**options)}")


@app.command("export")
@command(api.export_store, store=_Exported, out=Dir)
def _export(options: Options) -> None:
    typer.echo(f"wrote {api.export_store(**options)}")


@app.command("count-labels")
@command(api.write_label_counts, store=_Exported, out=Annotated[Path, typer.Option(metavar="FILE")])
def _count_labels(options: Options) -> None:
    typer.echo(f"wrote {api.write_label_counts(**options)}")


@app.command("simulate")
@command(api.simulate_delivery, dataset=_Name, out=Dir)
def _simulate(options: Options) -> None:
    typer.echo("\n".join(api.simulate_delivery(**options)))
