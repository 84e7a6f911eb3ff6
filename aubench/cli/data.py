"""``aubench data``: prepare, check, show."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

import typer
from typer.core import TyperGroup

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


app = typer.Typer(help="Prepare, check and display stores.", no_args_is_help=True)
prepare = typer.Typer(
    cls=_PrepareGroup, help="Convert a data set into a store: decode, crop and align once.", no_args_is_help=True
)
app.add_typer(prepare, name="prepare")
prepare.callback()(lambda: None)

Store = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="Folder of the store [default: $AUBENCH_STORES/<dataset>]."),
]
_Source = Annotated[Path, typer.Option("--source", metavar="DIR", help="Folder of the delivered files.")]
_Name = Annotated[str, typer.Argument(metavar="DATASET", help="Name of the data set.")]


def _prepare_command(dataset: Dataset) -> Any:
    """Return the command that prepares a data set; its options are the fields of the data set's ``Options``."""
    from aubench._util.progress import count_progress
    from aubench.datasets.catalog import prepare_store

    def run(store: Path | None, source: Path | None = None, **options: object) -> None:
        with count_progress(f"{dataset.name} prepared") as progress:
            lines = prepare_store(dataset.name, source, store, options, progress)
        typer.echo("\n".join(lines))

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("store", kind, default=None, annotation=Store)]
    if dataset.needs_source:
        parameters.insert(0, inspect.Parameter("source", kind, annotation=_Source))
    for name, field in dataset.Options.model_fields.items():
        parameters.append(inspect.Parameter(name, kind, default=field.default, annotation=_option(name, field)))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(dataset.name, help=f"{dataset.title}. Repeat the command to resume.", short_help=dataset.title)(run)
    return typer.main.get_command(single)


def _option(name: str, field: FieldInfo) -> Any:
    """Return the annotation of a command-line option; the model checks choices, the parser checks bounds."""
    bounds = {key: getattr(entry, key) for entry in field.metadata for key in ("ge", "le") if hasattr(entry, key)}
    flags = f"--{name.replace('_', '-')}"
    flags += f"/--no-{name.replace('_', '-')}" if field.annotation is bool else ""
    kind = str if get_origin(field.annotation) is Literal else field.annotation
    return Annotated[kind, typer.Option(flags, help=field.description, min=bounds.get("ge"), max=bounds.get("le"))]


@app.command()
def check(dataset: _Name, store: Store = None) -> None:
    """Compare every file of a store with its digest."""
    from aubench._util.progress import count_progress
    from aubench.datasets.catalog import check_store

    with count_progress("files checked") as progress:
        summary = check_store(dataset, store, progress)
    typer.echo(summary)


@app.command()
def show(
    dataset: _Name,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="PNG file to write.")],
    store: Store = None,
) -> None:
    """Draw a contact sheet: random frames of a store, or every AU of a rendered data set."""
    from aubench.plots import contact_sheet

    contact_sheet.draw(dataset, store, out)
    typer.echo(f"wrote {out}")
