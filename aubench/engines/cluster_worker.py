"""Work on a fold in a process of a cluster's node."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from aubench._util import system
from aubench.core.errors import AubenchError, UsageError
from aubench.results.run_folder import TRACEBACK
from aubench.runs import fold_process, fold_status

if TYPE_CHECKING:
    from aubench._util.ranks import Group
    from aubench.engines.cluster import Outcome
    from aubench.runs.devices import DeviceChoice
    from aubench.runs.engine import Job
    from aubench.runs.events import Event

_POLL_SECONDS = 2.0


def work(job: Job, choice: DeviceChoice, working_dir: str, group: Group | None = None) -> Outcome:
    """Run a job on the first device that this process sees.

    Args:
        job: Job whose folder of runs has an absolute path.
        choice: Kind of device, and number of folds that share one.
        working_dir: Working directory of the command, to which relative paths of weights and stores refer.
        group: Processes on several nodes that run the job together; None if it has one node.

    Returns:
        The last event of the job without tables, or the error of the job.
    """
    folder = job.config.fold_dir(job.fold)
    with suppress(OSError):
        os.chdir(working_dir)
    system.raise_file_limit()
    try:
        return _run(job, choice, group)
    except AubenchError as error:
        failure = error
    except Exception as error:  # SystemExit and KeyboardInterrupt are the cluster's, which starts the job again
        failure = fold_process.unexpected_error(error, job.label, folder / TRACEBACK)
    if folder.parent.is_dir() and (group is None or group.has_first):
        fold_status.write_failure(folder, str(failure))
    return failure


def _run(job: Job, choice: DeviceChoice, group: Group | None) -> Event | None:
    from aubench.engines.cluster import wait_for
    from aubench.runs import devices

    config = job.config
    if not config.runs.is_dir() or not wait_for(config.run_dir):
        hint = "give --runs on a disk that all nodes share"
        raise UsageError(f"is not on the node {socket.gethostname()}", where=config.run_dir, hint=hint)
    (config.fold_dir(job.fold) / TRACEBACK).unlink(missing_ok=True)
    last: deque[Event] = deque(maxlen=1)
    job = _prepare(job, choice)
    if choice.per_fold > 1 or group:
        _run_in_processes(job, choice, group, last.append)
    else:
        devices.limit_memory(choice, 0)
        job.target(job.config, job.fold, choice.kind, 0, last.append)
    return _without_tables(last[0]) if last else None


def _prepare(job: Job, choice: DeviceChoice) -> Job:
    """Check the devices of this node, and return the job with the store that it can read.

    Raises:
        AubenchError: The node lacks a device or the store. The error names the node.
    """
    from aubench.engines.node_stores import with_node_store
    from aubench.runs import devices

    try:
        devices.choose(choice.kind, per_fold=choice.per_fold).require(job.config.precision)
        return replace(job, config=with_node_store(job.config))
    except AubenchError as error:
        error.what = f"{error.what} (node {socket.gethostname()})"
        raise


def _run_in_processes(job: Job, choice: DeviceChoice, group: Group | None, report: Callable[[Event], None]) -> None:
    """Run a job on the devices of this node, one process each."""
    from aubench.runs.local_engine import LocalEngine

    engine = LocalEngine(choice, group)
    future = engine.submit(job)
    try:
        while not future.done():
            for _, event in engine.wait(_POLL_SECONDS):
                if event is not None:
                    report(event)
    finally:
        engine.close(interrupted=False)
    future.result()


def _without_tables(event: Event) -> Event:
    from aubench.runs.events import FoldFinished

    return replace(event, result=None) if isinstance(event, FoldFinished) else event
