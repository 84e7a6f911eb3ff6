"""Scheduler of folds: one new process per fold, and as many at a time as there are devices."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import cast

from aubench._util import atomic
from aubench._util.main_module import hide_main_module
from aubench.core.errors import AubenchError
from aubench.results.run_folder import TRACEBACK
from aubench.runs.config import RunConfig
from aubench.runs.devices import DeviceChoice
from aubench.runs.events import Event, JobFailed, RunFailed

_PRELOAD = ["aubench.runs.fold", "aubench.methods._modules.backbones", "lightning_fabric", "timm"]
_KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
"""Settings of glibc. Returning freed memory to the system between training steps costs up to a sixth of the time."""


MAX_OPEN_FILES = 10_000
"""Limit of open files per fold, if the system allows it. macOS allows no more."""


class FoldFailed(AubenchError):
    """A fold's process ended for a reason outside the user's control."""

    exit_code = 1


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


def preload_workers() -> None:
    """Start to import the packages of fold processes in the background."""
    multiprocessing.set_forkserver_preload(_PRELOAD)
    for name, value in {"OMP_NUM_THREADS": "1", **_KEEP_FREED_MEMORY}.items():
        os.environ.setdefault(name, value)
    forkserver.ensure_running()


def run_jobs(jobs: Sequence[Job], choice: DeviceChoice, report: Callable[[Job, Event], None]) -> None:
    """Run all jobs. If a job fails, the jobs of other runs continue.

    Args:
        jobs: Jobs in order of start.
        choice: Devices; each job gets one.
        report: Callback for every event, called in this process.

    Raises:
        AubenchError: A run failed. Raised after all other runs ended; repeat the command to resume.
    """
    FoldScheduler(jobs, choice, report).run()


class FoldScheduler:
    """Queue of waiting jobs, running processes, and errors of failed runs."""

    def __init__(self, jobs: Sequence[Job], choice: DeviceChoice, report: Callable[[Job, Event], None]) -> None:
        self._waiting, self._free = deque(jobs), deque(range(max(1, choice.count)))
        self._running: dict[Connection, tuple[Job, BaseProcess, int]] = {}
        self._failed: dict[str, AubenchError] = {}
        self._kind, self._report = choice.kind, report
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

    def _start(self, job: Job, slot: int) -> None:
        context = multiprocessing.get_context("forkserver")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run_job, args=(sender, job, self._kind, slot), daemon=True)
        with hide_main_module():
            process.start()
        sender.close()
        self._running[receiver] = (job, process, slot)

    def _handle(self, receiver: Connection) -> None:
        job, process, slot = self._running[receiver]
        try:
            self._forward(job, receiver.recv())
        except EOFError:
            del self._running[receiver]
            self._free.append(slot)
            process.join()
            if process.exitcode:
                self._fail(job, _exit_error(job, process.exitcode))
        except AubenchError as error:
            self._fail(job, error)

    def _forward(self, job: Job, event: Event) -> None:
        if isinstance(event, JobFailed):
            raise event.error
        self._report(job, event)

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


def _combine_errors(errors: list[AubenchError]) -> AubenchError:
    first, *others = errors
    if not others:
        return first
    combined = FoldFailed(f"{len(errors)} runs failed; the first: {first}")
    combined.exit_code = first.exit_code
    return combined


def _exit_error(job: Job, code: int) -> FoldFailed:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return FoldFailed(f"fold {job.fold} of {job.config.entry.name} {how}", hint="repeat the command to resume")


def _run_job(sender: Connection, job: Job, kind: str, index: int) -> None:
    exit_with_parent(os.getppid())
    _raise_file_limit()
    (job.config.fold_dir(job.fold) / TRACEBACK).unlink(missing_ok=True)
    try:
        job.target(job.config, job.fold, kind, index, sender.send)
    except AubenchError as error:
        sender.send(JobFailed(error))
    except BrokenPipeError:  # the parent process was killed
        os._exit(1)
    except Exception as error:
        sender.send(JobFailed(_unexpected_error(job, error)))


def _unexpected_error(job: Job, error: Exception) -> FoldFailed:
    """Convert an unexpected error. Its traceback goes to a file."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return FoldFailed(
            f"fold {job.fold} of {job.config.entry.name} needs more memory than the GPU has",
            hint="lower the batch size with --set, or use --precision bf16-mixed",
        )
    traceback_path, hint = job.config.fold_dir(job.fold) / TRACEBACK, None
    with suppress(OSError):
        atomic.write_text(traceback_path, "".join(traceback.format_exception(error)))
        hint = f"see {traceback_path}"
    return FoldFailed(f"fold {job.fold} of {job.config.entry.name} broke ({type(error).__name__}: {error})", hint=hint)


def _raise_file_limit() -> None:
    """Raise the limit of open files. A store has one file per sequence and modality."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < limit:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def exit_with_parent(parent: int) -> None:
    """End this process soon after its parent, so that a killed command leaves no processes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="orphan-watch").start()
