"""Folds side by side: a fresh process each, as many at a time as there are devices."""

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
from typing import Any, cast

from aubench._util import atomic
from aubench._util.main_module import hide_main_module
from aubench.core.errors import AubenchError
from aubench.results.run_folder import TRACEBACK
from aubench.runs.config import RunConfig
from aubench.runs.devices import DeviceChoice

_PRELOAD = ["aubench.runs.fold", "aubench.methods._modules.backbones", "lightning_fabric", "torchmetrics", "timm"]
_KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
"""For glibc: a training step frees and takes the same megabytes again; giving them back costs up to a sixth of it."""


MAX_OPEN_FILES = 10_000
"""What a fold may hold open, if the system lets it; macOS lets no more."""


class FoldFailed(AubenchError):
    """A fold's process died of something that is not the user's doing."""

    exit_code = 1


@dataclass(frozen=True)
class Job:
    """A fold of a run, and what is to be done with it.

    Attributes:
        plan: The run.
        fold: Number of the fold.
        work: What to call with plan, fold, kind of device, which one, and whom to tell.
    """

    plan: RunConfig
    fold: int
    target: Callable[[RunConfig, int, str, int, Callable[[dict[str, Any]], None]], None]


def preload_workers() -> None:
    """Start importing what the folds need, in the background."""
    multiprocessing.set_forkserver_preload(_PRELOAD)
    for name, value in {"OMP_NUM_THREADS": "1", **_KEEP_FREED_MEMORY}.items():
        os.environ.setdefault(name, value)
    forkserver.ensure_running()


def run_jobs(jobs: Sequence[Job], choice: DeviceChoice, report: Callable[[Job, dict[str, Any]], None]) -> None:
    """Run all jobs to their end; where one fails, those of other runs go on.

    Args:
        jobs: What to do, in order of start.
        choice: Where; each job gets one of the devices.
        report: Told of every event, in this process.

    Raises:
        AubenchError: What stopped a run, once all others are done; its folds can go on later.
    """
    FoldScheduler(jobs, choice, report).run()


class FoldScheduler:
    """Jobs that wait, that are under way, and runs that have failed."""

    def __init__(
        self, jobs: Sequence[Job], choice: DeviceChoice, report: Callable[[Job, dict[str, Any]], None]
    ) -> None:
        self._waiting, self._free = deque(jobs), deque(range(max(1, choice.count)))
        self._running: dict[Connection, tuple[Job, BaseProcess, int]] = {}
        self._failed: dict[str, AubenchError] = {}
        self._kind, self._report = choice.kind, report
        self._several = len({job.plan.run_id for job in jobs}) > 1

    def run(self) -> None:
        """Go on until nothing is left, then raise what went wrong."""
        try:
            while self._waiting or self._running:
                while self._waiting and self._free:
                    self._start(self._waiting.popleft(), self._free.popleft())
                for ready in connection.wait(list(self._running)):
                    self._handle(cast(Connection, ready))
        finally:
            for _, left, _ in self._running.values():
                left.terminate()
            for _, left, _ in self._running.values():
                left.join()
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

    def _forward(self, job: Job, event: dict[str, Any]) -> None:
        if event["kind"] == "error":
            raise event["error"]
        self._report(job, event)

    def _fail(self, job: Job, error: AubenchError) -> None:
        """Give up the run of a job; of several, say which and why."""
        run = job.plan.run_id
        if run in self._failed:
            return
        self._failed[run] = error
        self._waiting = deque(other for other in self._waiting if other.plan.run_id != run)
        for other, process, _ in self._running.values():
            if other.plan.run_id == run:
                process.terminate()
        if self._several:
            self._report(job, {"kind": "failed", "why": str(error)})


def _combine_errors(errors: list[AubenchError]) -> AubenchError:
    first, *others = errors
    if not others:
        return first
    made = FoldFailed(f"{len(errors)} runs could not be finished; the first: {first}")
    made.exit_code = first.exit_code
    return made


def _exit_error(job: Job, code: int) -> FoldFailed:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return FoldFailed(f"fold {job.fold} of {job.plan.entry.name} {how}", hint="give the same command again to go on")


def _run_job(sender: Connection, job: Job, kind: str, index: int) -> None:
    exit_with_parent(os.getppid())
    _raise_file_limit()
    (job.plan.fold_dir(job.fold) / TRACEBACK).unlink(missing_ok=True)
    try:
        job.target(job.plan, job.fold, kind, index, sender.send)
    except AubenchError as error:
        sender.send({"kind": "error", "error": error})
    except BrokenPipeError:  # whoever listened has been killed
        os._exit(1)
    except Exception as error:
        sender.send({"kind": "error", "error": _unexpected_error(job, error)})


def _unexpected_error(job: Job, error: Exception) -> FoldFailed:
    """What to tell of an error that nobody foresaw; its traceback goes to a file."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return FoldFailed(
            f"fold {job.fold} of {job.plan.entry.name} needs more memory than the GPU has",
            hint="lower the batch size with --set, or use --precision bf16-mixed",
        )
    told, hint = job.plan.fold_dir(job.fold) / TRACEBACK, None
    with suppress(OSError):
        atomic.write_text(told, "".join(traceback.format_exception(error)))
        hint = f"see {told}"
    return FoldFailed(f"fold {job.fold} of {job.plan.entry.name} broke ({type(error).__name__}: {error})", hint=hint)


def _raise_file_limit() -> None:
    """Let this process hold enough files: a store has one for each sequence and modality."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def exit_with_parent(parent: int) -> None:
    """End this process soon after its parent has gone, so that a killed run leaves nobody behind."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="orphan-watch").start()
