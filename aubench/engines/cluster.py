"""Common part of engines whose jobs run on other machines and leave their results on a shared disk."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

from aubench.core.errors import AubenchError
from aubench.results.run_folder import RESULT
from aubench.runs import condition_scores, fold_status
from aubench.runs.devices import TF32, DeviceChoice
from aubench.runs.engine import Engine, Job
from aubench.runs.events import ConditionsEvaluated, Event, FoldFinished
from aubench.runs.fold_result import FoldResult
from aubench.training.state import EpochFinished

Outcome = Event | AubenchError | None
"""Last event of a job or its error, as the node returns it; see :func:`aubench.engines.cluster_worker.work`."""

PROGRESS_SECONDS = 2.0
"""Interval between two looks at the progress of running folds."""
_WATCHED = 256
"""Number of unfinished jobs, in order of submission, whose progress is shown."""
_VISIBLE_SECONDS = 60.0
"""Time after which a file that another machine wrote is visible on a shared disk."""


@dataclass(frozen=True)
class ClusterChoice(DeviceChoice):
    """Devices of a cluster, unknown to the machine of the command."""

    remote: ClassVar[bool] = True

    def require(self, precision: str) -> None:
        """Check what is known here. The node checks its own device.

        Raises:
            UsageError: No device of this kind computes in the precision.
        """
        if precision == TF32 and self.kind != "cuda":
            super().require(precision)

    def on_node(self) -> DeviceChoice:
        """Return the device of a job as the node sees it."""
        return DeviceChoice(self.kind, self.per_fold, self.name, self.per_device, self.per_fold)


class ClusterEngine(Engine):
    """Jobs on a cluster. Their progress is read from the folder of runs."""

    def __init__(self) -> None:
        self._jobs: dict[Future[None], Job] = {}
        self._epochs: dict[Future[None], EpochFinished] = {}
        self._looked = 0.0

    @abstractmethod
    def _poll(self, seconds: float) -> Iterator[tuple[Future[None], Outcome]]:
        """Wait at most so long, and yield the outcomes of jobs that have ended."""

    def wait(self, seconds: float) -> Iterator[tuple[Future[None], Event | None]]:
        """Yield new epochs and the ends of jobs."""
        for future, outcome in self._poll(seconds):
            yield from self._finish(future, outcome)
        if time.monotonic() - self._looked > PROGRESS_SECONDS:
            yield from self._progress()
            self._looked = time.monotonic()

    def _add(self, job: Job) -> Future[None]:
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        self._jobs[future] = job
        return future

    def _finish(self, future: Future[None], outcome: Outcome) -> Iterator[tuple[Future[None], Event | None]]:
        job = self._jobs.pop(future)
        self._epochs.pop(future, None)
        try:
            if isinstance(outcome, AubenchError):
                raise outcome
            if outcome is not None:
                yield future, _with_results(job, outcome)
            future.set_result(None)
        except AubenchError as error:
            future.set_exception(error)
        yield future, None

    def _progress(self) -> Iterator[tuple[Future[None], Event | None]]:
        for future, job in list(islice(self._jobs.items(), _WATCHED)):
            epoch = fold_status.last_epoch(fold_status.read_running(job.config.fold_dir(job.fold)))
            if epoch is not None and epoch != self._epochs.get(future):
                self._epochs[future] = epoch
                yield future, epoch


def portable(job: Job) -> Job:
    """Return a job whose folder of runs has an absolute path, and create the folder of its run."""
    config = job.config
    config.run_dir.mkdir(parents=True, exist_ok=True)
    moved = replace(config, runs=config.runs.absolute())
    vars(moved)["content"] = config.content
    return replace(job, config=moved)


def _with_results(job: Job, event: Event) -> Event:
    """Add the tables to a job's last event, which travels without them."""
    folder = job.config.fold_dir(job.fold)
    if isinstance(event, FoldFinished) and event.epochs:
        wait_for(folder / RESULT)
        return replace(event, result=FoldResult.load(folder))
    if isinstance(event, ConditionsEvaluated):
        wait_for(folder / condition_scores.FOLDER / condition_scores.HEADER)
    return event


def wait_for(path: Path) -> bool:
    """Wait for a file or folder of another machine; return whether it is there.

    Reading the parent folder renews what this machine knows of a shared disk.
    """
    end = time.monotonic() + _VISIBLE_SECONDS
    while not (path.parent.is_dir() and path in path.parent.iterdir()):
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True
