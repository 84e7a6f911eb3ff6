"""``aubench track``: send finished or interrupted runs to MLflow."""

from __future__ import annotations

from typing import Annotated

import typer

from aubench.cli.options import RUNS, Runs

app = typer.Typer(help="Keep MLflow up to date.", no_args_is_help=True)


@app.callback()
def track() -> None:
    """Keep MLflow up to date."""


@app.command()
def sync(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Folders or ids of runs; all runs and studies by default."),
    ] = None,
    root: Runs = RUNS,
) -> None:
    """Send runs and studies to MLflow that it does not have yet.

    Exit code 1 if one of them could not be sent.

    The server is MLFLOW_TRACKING_URI, or mlflow.db in the working directory.
    """
    from itertools import chain

    from aubench._util.redact import redact_url
    from aubench.core.errors import CheckFailed
    from aubench.tracking import studies as study_export
    from aubench.tracking.mlflow_client import default_uri
    from aubench.tracking.run_export import find_runs
    from aubench.tracking.sync import send_all

    folders = find_runs(root, runs or [])
    studies = [] if runs else study_export.folders(root)
    if not folders and not studies:
        typer.echo(f"{root}: no runs")
        return
    unsent = 0
    for folder, result in chain(send_all(folders), ((study, study_export.sync(study)) for study in studies)):
        unsent += not result.ok
        typer.echo(f"{folder}: {result.detail if result.ok else f'not sent: {result.detail}'}", err=not result.ok)
    if unsent:
        raise CheckFailed(
            f"{unsent} of {len(folders) + len(studies)} could not be sent", where=redact_url(default_uri())
        )
