"""Commands of ``aubench leaderboard``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from aubench import api
from aubench._util.system import collect_rarely
from aubench.cli.options import App, Options, command
from aubench.cli.printing import print_paths, print_skipped
from aubench.leaderboard.command_hints import build_hint

app = App(help="Maintain and check the leaderboard.", no_args_is_help=True)


@app.callback()
def _prepare() -> None:
    # NumPy reads this when it loads. The products of the statistics are small, so that threads only slow them down.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    collect_rarely()


@app.command("add")
@command(api.add_records, runs=Annotated[list[str], typer.Argument(metavar="RUN...")])
def _add(options: Options) -> None:
    added = api.add_records(**options)
    print_skipped(added.skipped_runs)
    for path in added.paths:
        typer.echo(f"{'already in' if path in added.unchanged else 'added'} {path}")
    if len(added.unchanged) < len(added.paths):
        typer.echo(f"{build_hint(str(options['root']))} to update its pages")


@app.command("build")
@command(api.build_leaderboard)
def _build(options: Options) -> None:
    from aubench.leaderboard.site.libraries import missing_packages

    print_paths(api.build_leaderboard(**options))
    if packages := missing_packages():
        typer.echo(f"no site/index.html without {', '.join(packages)}: pip install 'aubench[site]'", err=True)


@app.command("check")
@command(api.check_leaderboard, no_cache=Annotated[bool, typer.Option("--no-cache")])
def _check(
    options: Options,
    base: Annotated[
        str | None, typer.Option(metavar="REF", help="Also check the changes since this git revision, and report them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report of --base to this file.")] = None,
) -> None:
    from aubench._util import atomic
    from aubench._util.output_paths import check_output_file
    from aubench.core.errors import CheckFailed, UsageError

    root = options["root"]
    if base is None and out is not None:
        raise UsageError("needs --base", where="--out", hint="give the revision to compare with")
    if out is not None:
        check_output_file(out)
    if base is None:
        findings, report = api.check_leaderboard(**options), ""
    else:
        findings, report = api.review_leaderboard(base, **options)
    if out is not None:
        atomic.write_text(out, report)
        report = ""
    typer.echo(report, nl=False)
    for finding in findings:
        typer.echo(str(finding), err=True)
    if findings:
        raise CheckFailed(f"{len(findings)} problem{'s' * (len(findings) > 1)} found", where=root)
    typer.echo(f"{root}: all numbers agree with their counts")


@app.command("draw")
@command(api.draw_leaderboard, protocol=Annotated[str, typer.Argument()])
def _draw(options: Options) -> None:
    print_paths([api.draw_leaderboard(**options)])


@app.command("show")
@command(api.load_leaderboard, protocol=Annotated[str, typer.Argument()])
def _show(
    options: Options,
    named: Annotated[str | None, typer.Option("--protocol", help="Protocol to show.", metavar="NAME")] = None,
    form: Annotated[str, typer.Option("--format", help="text, markdown (md), csv or json.")] = "text",
) -> None:
    from aubench.core.errors import UsageError

    protocol = options.setdefault("protocol", named)
    if named not in (None, protocol):
        raise UsageError(f"'{protocol}' and '{named}' are two protocols", where="--protocol", hint="name one")
    typer.echo(api.load_leaderboard(**options).render(form), nl=False)


@app.command("export")
@command(api.export_leaderboard, out=Annotated[Path, typer.Argument(metavar="FILE")])
def _export(options: Options) -> None:
    print_paths([api.export_leaderboard(**options)])


@app.command("submit")
@command(api.submit_runs, runs=Annotated[list[str], typer.Argument(metavar="RUN...")])
def _submit(options: Options) -> None:
    submitted = api.submit_runs(**options)
    print_skipped(submitted.skipped_runs)
    typer.echo(submitted.report)
    for path in submitted.paths:
        typer.echo(f"added {path}")
    typer.echo(f"committed on the branch {submitted.branch}; next:")
    typer.echo(f"  git push --set-upstream origin {submitted.branch}")
    typer.echo("  open a pull request from this branch, and name the machine in it")


@app.command("reproduce")
@command(
    api.reproduce_record,
    run=Annotated[str, typer.Argument(metavar="RUN_ID")],
    store=Annotated[str, typer.Option("--store", metavar="DIR")],
)
def _reproduce_record(options: Options) -> None:
    from aubench.core.errors import CheckFailed

    result = api.reproduce_record(**options)
    if options.get("by"):
        typer.echo(f"stored the repetition; {build_hint(str(options['root']))} to update the pages")
    if result.outcome == "different":
        raise CheckFailed(str(result), where=result.run.folder)
    typer.echo(result)
