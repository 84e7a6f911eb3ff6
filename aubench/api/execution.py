"""Execution of planned runs with progress display, figures and tracking, and their later upload to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from aubench._util.progress import print_line
from aubench.api.planning import AnyPath, AnyPaths
from aubench.api.run_display import RunDisplay, show_conditions
from aubench.core.user_paths import user_path, user_paths

if TYPE_CHECKING:
    from aubench.core.conditions import Condition
    from aubench.leaderboard.records import StoredRecord
    from aubench.results.record import Record
    from aubench.runs.config import RunConfig
    from aubench.runs.devices import DeviceChoice
    from aubench.tracking.sync import SyncResult


def train(configs: Sequence[RunConfig], folds: Sequence[int], choice: DeviceChoice, track: bool) -> None:
    """Train and score folds; finished folds are skipped.

    Args:
        configs: Runs.
        folds: Numbers of the folds.
        choice: Devices.
        track: Whether to send the runs to MLflow.

    Raises:
        AubenchError: A fold failed; the results of the others are stored.
    """
    from aubench.runs.runner import run_folds

    with _tracking(configs, track), RunDisplay() as display:
        run_folds(configs, folds, choice, display.show, _plot)


def _plot(config: RunConfig, record: Record) -> None:
    """Plot the figures of a run. Any error is an :class:`AubenchError`, after which other runs continue."""
    from aubench.core.errors import AubenchError
    from aubench.plots import run_figures
    from aubench.results.run_folder import TRACEBACK
    from aubench.runs.fold_process import unexpected_error

    try:
        run_figures.plot(config.run_dir, record)
    except AubenchError:
        raise
    except Exception as error:
        label = f"drawing the figures of {config.entry.name}, seed {config.seed},"
        raise unexpected_error(error, label, config.run_dir / TRACEBACK) from error


def evaluate(
    configs: Sequence[RunConfig],
    conditions: Callable[[RunConfig], Sequence[Condition]],
    choice: DeviceChoice,
    track: bool,
) -> None:
    """Evaluate finished folds under test conditions; stored results are reused.

    Args:
        configs: Finished runs.
        conditions: Function that returns the conditions of a run.
        choice: Devices.
        track: Whether to send the results to MLflow.

    Raises:
        AubenchError: A fold failed; the results of the others are stored.
    """
    from aubench.runs.runner import evaluate_conditions

    with _tracking(configs, track):
        evaluate_conditions(configs, conditions, choice, show_conditions)


def read_stored_records(configs: Sequence[RunConfig]) -> tuple[StoredRecord, ...]:
    """Return the records of those runs that have one."""
    from aubench.leaderboard.records import StoredRecord
    from aubench.results import record
    from aubench.results.run_folder import RECORD_DIR

    folders = [config.run_dir / RECORD_DIR for config in configs]
    return tuple(StoredRecord(path, record.read(path)) for path in folders if (path / record.FILE).exists())


def sync_runs(
    names: AnyPaths = (),
    *,
    runs: AnyPath = "runs",
    report: Callable[[Path, SyncResult], None] = lambda folder, result: None,
) -> dict[Path, SyncResult]:
    """Send runs and studies to MLflow that it does not have yet.

    The command has exit code 1 if one of them could not be sent.

    The server is MLFLOW_TRACKING_URI, or mlflow.db in the working directory.

    Args:
        names: Folders or ids of runs; all runs and studies by default.
        runs: Folder of all runs.
        report: Function that receives each folder and its result as soon as it is sent.

    Returns:
        Result of each folder of a run or study.

    Raises:
        UsageError: A name is neither the folder nor the id of a run, there is no folder of runs, or MLflow is not
            installed.
    """
    from aubench.core.errors import UsageError
    from aubench.tracking import mlflow_client, studies
    from aubench.tracking.run_export import find_runs
    from aubench.tracking.sync import send_all

    root = user_path(runs)
    if not names and not root.is_dir():
        raise UsageError("no such folder", where=root, hint="give the folder of all runs with --runs")
    run_dirs = find_runs(root, user_paths(names))
    if not mlflow_client.is_installed():
        raise UsageError(mlflow_client.MISSING)
    results = {}
    study_dirs = () if names else studies.folders(root)
    for folder, result in chain(send_all(run_dirs), ((folder, studies.sync(folder)) for folder in study_dirs)):
        results[folder] = result
        report(folder, result)
    return results


@contextmanager
def _tracking(configs: Sequence[RunConfig], track: bool) -> Iterator[None]:
    if not track:
        yield
        return
    from aubench.tracking.background import background

    with background([config.run_dir for config in configs], say=print_line):
        yield
