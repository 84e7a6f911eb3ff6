"""Commands of ``aubench``. Each one calls a function of the API with the parsed options and prints the result."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aubench import api
from aubench.cli import data, leaderboard
from aubench.cli.options import App, Dir, Options, command
from aubench.cli.printing import TABLE_FORMATS, print_frame, print_paths, print_skipped

if TYPE_CHECKING:
    from aubench.api.results_view import RobustnessResults
    from aubench.tracking.sync import SyncResult

_Names = Annotated[
    list[str], typer.Argument(metavar="[NAME]...", help="Tables and figures, or all; lists them if none is given.")
]
_Runs = Annotated[Path, typer.Argument(metavar="[RUNS]")]
_Run = Annotated[Path, typer.Argument(metavar="RUN")]
_LIST_OPTIONS = ("protocol", "seeds", "preset", "overrides", "runs", "root", "store")

app = App(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
plot = App(help="Draw figures of a run, a method or studies.", no_args_is_help=True)
track = App(help="Keep MLflow up to date.", no_args_is_help=True)
track.callback()(lambda: None)


@app.command("run")
@command(api.run)
def _run(options: Options) -> None:
    def report(results: api.Results) -> None:
        if results.stored_records:
            typer.echo(results.summary())

    api.run(**options, report=report)


@app.command("status")
@command(api.status, runs=_Runs)
def _status(
    options: Options, form: Annotated[str, typer.Option("--format", help="text, csv or json.")] = "text"
) -> None:
    from aubench.api.formats import check_form

    form = check_form(form, ("text", "csv", "json"))
    results = api.status(**options)
    if form == "text":
        typer.echo(results.summary())
    else:
        print_frame(results.to_dataframe(), form)


@app.command("cancel")
@command(api.cancel, runs=_Runs)
def _cancel(options: Options) -> None:
    if not api.cancel(**options, report=typer.echo):
        typer.echo(f"{options['runs']}: no command works on this folder")


@app.command("tune")
@command(api.tune)
def _tune(options: Options) -> None:
    typer.echo(api.tune(**options).summary())


@app.command("compare")
@command(api.compare, runs=Annotated[list[str], typer.Argument(metavar="A B...")])
def _compare(
    options: Options,
    form: Annotated[str, typer.Option("--format", help="markdown (md), latex, csv or json.")] = "markdown",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to this file.")] = None,
) -> None:
    from aubench._util import atomic
    from aubench._util.output_paths import check_output_file
    from aubench.api.formats import check_form

    form = check_form(form)
    if out is not None:
        check_output_file(out)
    results = api.compare(**options)
    print_skipped(results.skipped_runs)
    if results.comparison.outdated and form in ("csv", "json"):
        hint = "`--format markdown` lists the changes since then"
        typer.echo(f"some runs are of earlier versions of their methods; {hint}", err=True)
    if out is None:
        typer.echo(results.render(form), nl=False)
    else:
        atomic.write_text(out, results.render(form))
        typer.echo(f"wrote {out}")


@app.command("score")
@command(api.score, predictions=Annotated[list[str], typer.Argument(metavar="PREDICTIONS...")], out=Dir)
def _score(options: Options) -> None:
    results = api.score(**options)
    typer.echo(f"{results.summary()}\n\npredictions submitted, training not seen")
    if results.robustness:
        typer.echo(f"\n{results.robustness.text}", nl=False)


@app.command("robustness")
@command(api.evaluate_robustness, run=Annotated[list[str], typer.Option(metavar="RUN")], out=Dir)
def _robustness(options: Options) -> None:
    def report(results: RobustnessResults) -> None:
        typer.echo(results.text, nl=False)
        print_paths(results.paths, err=True)

    api.evaluate_robustness(**options, report=report)


@app.command("reproduce")
@command(api.reproduce, names=_Names, out=Dir)
def _reproduce(
    options: Options, all_exhibits: Annotated[bool, typer.Option("--all", help="All tables and figures.")] = False
) -> None:
    from aubench.core.errors import UsageError

    if all_exhibits and options.get("names"):
        raise UsageError("excludes names", where="--all", hint="omit one of them")
    if all_exhibits or options.get("names"):
        names = "all" if all_exhibits else options["names"]
        print_paths(api.reproduce(**{**options, "names": names}).paths)
    else:
        exhibits = api.list_exhibits(**{name: options[name] for name in _LIST_OPTIONS if name in options})
        typer.echo(exhibits.to_markdown(index=False, tablefmt="github", disable_numparse=True))


@app.command("profile")
@command(
    api.profile,
    store=Annotated[list[str], typer.Option("--store", metavar="DIR")],
    out=Dir,
    steps=Annotated[int, typer.Option(min=1)],
)
def _profile(
    options: Options, form: Annotated[str, typer.Option("--format", help="markdown (md), csv or json.")] = "markdown"
) -> None:
    from aubench.api.formats import check_form

    check_form(form, TABLE_FORMATS)
    results = api.profile(**options)
    print_frame(results.to_dataframe(), form, value=lambda value: "unknown" if math.isnan(value) else f"{value:.4g}")
    print_paths(results.paths, err=True)


@app.command("bench")
@command(api.bench)
def _bench(options: Options) -> None:
    print_paths([api.bench(**options)])


@app.command("methods")
@command(api.list_methods)
def _methods(
    options: Options,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the reference page of built-in methods.")
    ] = None,
    catalogue: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the facts that `leaderboard check` compares with.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="markdown (md), csv or json.")] = "markdown",
) -> None:
    from aubench.api.formats import check_form

    check_form(form, TABLE_FORMATS)
    if page is not None:
        api.write_method_reference(page)
    if catalogue is not None:
        api.write_method_catalogue(catalogue)
    if page is None and catalogue is None:
        print_frame(api.list_methods(), form, parameters=lambda count: f"{count / 1e6:.1f} M")


@app.command("protocols")
@command(api.list_protocols)
def _protocols(
    options: Options, form: Annotated[str, typer.Option("--format", help="markdown (md), csv or json.")] = "markdown"
) -> None:
    print_frame(api.list_protocols(), form, digest=lambda digest: digest[:12])


@app.command("test-method")
@command(api.check_method, name=Annotated[str, typer.Argument(metavar="NAME|PATH")])
def _test_method(options: Options) -> None:
    from aubench.core.errors import CheckFailed

    results = api.check_method(**options)
    for result in results:
        detail = f": {result.detail}" if result.detail else ""
        typer.echo(f"{'ok  ' if result.passed else 'FAIL'} {result.name}{detail}")
    if failures := sum(not result.passed for result in results):
        raise CheckFailed(f"{failures} of {len(results)} checks failed", where=options["name"])


app.add_typer(data.app, name="data")
app.add_typer(leaderboard.app, name="leaderboard")
app.add_typer(plot, name="plot")
app.add_typer(track, name="track")


def _add_figure(name: str, function: Callable[..., Path], **forms: Any) -> None:
    """Add a command that draws a figure and prints its file."""

    def draw(options: Options) -> None:
        typer.echo(function(**options))

    plot.command(name)(command(function, **forms)(draw))


_add_figure("reconstructions", api.plot_reconstructions, run=_Run)
_add_figure("knowledge", api.plot_knowledge, run=_Run)
_add_figure("selection", api.plot_selection, run=_Run)
_add_figure("cut-switch", api.plot_cut_switch, run=Annotated[Path, typer.Argument(metavar="[RUN]")])
_add_figure("search", api.plot_studies, studies=Annotated[list[str], typer.Argument(metavar="STUDY...")])


@track.command("sync")
@command(api.sync_runs, names=Annotated[list[str], typer.Argument(metavar="[RUN]...")])
def _sync(options: Options) -> None:
    from aubench._util.paths import redact_url
    from aubench.core.errors import CheckFailed
    from aubench.tracking.mlflow_client import default_uri

    def report(folder: Path, result: SyncResult) -> None:
        typer.echo(f"{folder}: {result.detail if result.ok else f'not sent: {result.detail}'}", err=not result.ok)

    results = api.sync_runs(**options, report=report)
    if not results:
        typer.echo(f"{options['runs']}: no runs")
    if unsent := sum(not result.ok for result in results.values()):
        raise CheckFailed(f"{unsent} of {len(results)} could not be sent", where=redact_url(default_uri()))
