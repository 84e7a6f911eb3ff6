"""Scheduler of folds: one new process per fold, and on each device as many at a time as its user chose."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import cast

from aubench.core.errors import AubenchError
from aubench.results.run_folder import TRACEBACK
from aubench.runs import devices, fold_process
from aubench.runs.config import RunConfig
from aubench.runs.devices import DeviceChoice
from aubench.runs.events import Event, RunFailed
from aubench.runs.fold_process import FoldFailed, preload_workers

__all__ = ["FoldFailed", "FoldScheduler", "Job", "preload_workers", "run_jobs"]


@dataclass(frozen=True)
class Job:
    """Work on a fold of a run.

    Attributes:
        config: The run.
        fold: Number of the fold.
        target: Function of configuration, fold, kind of device, index of the device, and callback for events.
    """

    config: RunConfig
    fold: int
    target: Callable[[RunConfig, int, str, int, Callable[[Event], None]], None]

    @property
    def label(self) -> str:
        """Fold and method, for error messages."""
        return f"fold {self.fold} of {self.config.entry.name}"


def run_jobs(jobs: Sequence[Job], choice: DeviceChoice, report: Callable[[Job, Event], None]) -> None:
    """Run all jobs. If a job fails, the jobs of other runs continue.

    Args:
        jobs: Jobs in order of start.
        choice: Devices. Each job gets one, and at most ``choice.per_device`` jobs at a time have the same.
        report: Callback for every event, called in this process.

    Raises:
        AubenchError: A run failed. Raised after all other runs ended; repeat the command to resume.
    """
    FoldScheduler(jobs, choice, report).run()


class FoldScheduler:
    """Queue of waiting jobs, running processes, and errors of failed runs."""

    def __init__(self, jobs: Sequence[Job], choice: DeviceChoice, report: Callable[[Job, Event], None]) -> None:
        self._waiting, self._free = deque(jobs), deque([*range(max(1, choice.count))] * choice.per_device)
        self._running: dict[Connection, tuple[Job, BaseProcess, int]] = {}
        self._failed: dict[str, AubenchError] = {}
        self._finished: set[Connection] = set()
        self._choice, self._report = choice, report
        self._several = len({job.config.run_id for job in jobs}) > 1

    def run(self) -> None:
        """Run until no job is left, then raise the errors."""
        try:
            while self._waiting or self._running:
                while self._waiting and self._free:
                    self._start(self._waiting.popleft(), self._free.popleft())
                for ready in connection.wait(list(self._running)):
                    self._handle(cast(Connection, ready))
        finally:
            for _, process, _ in self._running.values():
                process.terminate()
            for _, process, _ in self._running.values():
                process.join()
        if self._failed:
            raise _combine_errors(list(self._failed.values()))

    def _start(self, job: Job, device: int) -> None:
        work = partial(_work, job, self._choice, device)
        try:
            receiver, process = fold_process.start(work, job.label, job.config.fold_dir(job.fold) / TRACEBACK)
        except AubenchError as error:
            self._free.append(device)
            self._fail(job, error)
        else:
            self._running[receiver] = (job, process, device)

    def _handle(self, receiver: Connection) -> None:
        job = self._running[receiver][0]
        try:
            message = receiver.recv()
        except (EOFError, OSError):  # the process has ended, perhaps in the middle of a message
            self._end(receiver)
            return
        try:
            if isinstance(message, AubenchError):
                raise message
            if message == fold_process.FINISHED:
                self._finished.add(receiver)
            else:
                self._report(job, message)
        except AubenchError as error:
            self._fail(job, error)

    def _end(self, receiver: Connection) -> None:
        job, process, device = self._running.pop(receiver)
        self._free.append(device)
        process.join()
        if receiver not in self._finished:
            self._fail(job, fold_process.death_of(job.label, process.exitcode))

    def _fail(self, job: Job, error: AubenchError) -> None:
        """Cancel the run of a job. If there are several runs, report the reason at once."""
        run = job.config.run_id
        if run in self._failed:
            return
        self._failed[run] = error
        self._waiting = deque(other for other in self._waiting if other.config.run_id != run)
        for other, process, _ in self._running.values():
            if other.config.run_id == run:
                process.terminate()
        if self._several:
            self._report(job, RunFailed(str(error)))


def _work(job: Job, choice: DeviceChoice, device: int, report: Callable[[Event], None]) -> None:
    devices.limit_memory(choice, device)
    job.target(job.config, job.fold, choice.kind, device, report)


def _combine_errors(errors: list[AubenchError]) -> AubenchError:
    first, *others = errors
    if not others:
        return first
    combined = FoldFailed(f"{len(errors)} runs failed; the first: {first}")
    combined.exit_code = first.exit_code
    return combined
