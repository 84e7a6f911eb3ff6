"""Scheduler of folds: submits jobs to an engine, reports their events, and cancels the runs that fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress

from aubench.core.errors import AubenchError
from aubench.runs import fold_status
from aubench.runs.devices import DeviceChoice
from aubench.runs.engine import Engine, Job
from aubench.runs.events import Event, RunFailed
from aubench.runs.fold_process import FoldFailed
from aubench.runs.sweeps import SweepFile

__all__ = ["FoldScheduler", "Job", "run_jobs"]

POLL_SECONDS = 2.0
"""Longest time between two looks at requests to cancel."""


def run_jobs(jobs: Sequence[Job], choice: DeviceChoice, report: Callable[[Job, Event], None]) -> None:
    """Run all jobs. If a job fails, the jobs of other runs continue.

    Args:
        jobs: Jobs in order of start.
        choice: Devices. Each job gets one, and at most ``choice.per_device`` jobs at a time have the same.
        report: Callback for every event, called in this process.

    Raises:
        AubenchError: A run failed. Raised after all other runs ended; repeat the command to resume.
    """
    FoldScheduler(jobs, choice.engine(), report).run()


class FoldScheduler:
    """Submitted jobs, and errors of failed runs."""

    def __init__(self, jobs: Sequence[Job], engine: Engine, report: Callable[[Job, Event], None]) -> None:
        self._jobs, self._engine, self._report = jobs, engine, report
        self._pending: dict[Future[None], Job] = {}
        self._failed: dict[str, AubenchError] = {}
        self._several = len({job.config.run_id for job in jobs}) > 1

    def run(self) -> None:
        """Run until no job is left, then raise the errors."""
        with SweepFile(self._engine.name, self._jobs) as sweep:
            interrupted = False
            try:
                for job in self._jobs:
                    fold_status.clear_failure(job.config.fold_dir(job.fold))
                    self._pending[self._engine.submit(job)] = job
                while self._pending:
                    for future, event in self._engine.wait(POLL_SECONDS):
                        self._handle(future, event)
                    sweep.update(self._engine.queued())
                    sweep.raise_if_cancelled()
            except (KeyboardInterrupt, BrokenPipeError):  # the latter if the reader of the progress has ended
                interrupted = True
                raise
            finally:
                with suppress(BrokenPipeError):
                    self._engine.close(interrupted=interrupted)
                sweep.update(self._engine.queued())
        if self._failed:
            raise _combine_errors(list(self._failed.values()))

    def _handle(self, future: Future[None], event: Event | None) -> None:
        job = self._pending[future]
        try:
            if event is not None:
                self._report(job, event)
                return
            del self._pending[future]
            if not future.cancelled():
                future.result()
        except AubenchError as error:
            self._fail(job, error)

    def _fail(self, job: Job, error: AubenchError) -> None:
        """Cancel the run of a job. If there are several runs, report the reason at once."""
        run = job.config.run_id
        if run in self._failed:
            return
        self._failed[run] = error
        fold_status.write_failure(job.config.fold_dir(job.fold), str(error))
        for future, other in self._pending.items():
            if other.config.run_id == run:
                self._engine.cancel(future)
        if self._several:
            self._report(job, RunFailed(str(error)))


def _combine_errors(errors: list[AubenchError]) -> AubenchError:
    first, *others = errors
    if not others:
        return first
    combined = FoldFailed(f"{len(errors)} runs failed; the first: {first}")
    combined.exit_code = min(error.exit_code for error in errors)
    return combined
