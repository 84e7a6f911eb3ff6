"""Folds side by side: a fresh process each, as many at a time as there are devices."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, cast

from aubench.engine.devices import DeviceChoice
from aubench.engine.plan import Plan
from aubench.errors import AubenchError

_PRELOAD = ["aubench.engine.fold", "aubench.methods._parts.backbones", "lightning_fabric", "torchmetrics", "timm"]


_KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
"""For glibc: a training step frees and takes the same megabytes again; giving them back costs up to a sixth of it."""


class FoldFailed(AubenchError):
    """A fold's process died of something that is not the user's doing."""

    exit_code = 1


@dataclass(frozen=True)
class Job:
    """A fold of a run, and what is to be done with it.

    Attributes:
        plan: The run.
        fold: Number of the fold.
        work: What to call with plan, fold, kind of device, which one, and whom to tell; trains where None.
    """

    plan: Plan
    fold: int
    work: Callable[[Plan, int, str, int, Callable[[dict[str, Any]], None]], None] | None = None


def warm_up() -> None:
    """Start importing what the folds need, in the background."""
    multiprocessing.set_forkserver_preload(_PRELOAD)
    for name, value in {"OMP_NUM_THREADS": "1", **_KEEP_FREED_MEMORY}.items():
        os.environ.setdefault(name, value)
    forkserver.ensure_running()


def launch(jobs: Sequence[Job], choice: DeviceChoice, report: Callable[[Job, dict[str, Any]], None]) -> None:
    """Run all jobs to their end.

    Args:
        jobs: What to do, in order of start.
        choice: Where; each job gets one of the devices.
        report: Told of every event, in this process.

    Raises:
        AubenchError: The first that a fold raised; the others are stopped and can go on later.
        FoldFailed: A fold's process died.
    """
    waiting, free = deque(jobs), deque(range(max(1, choice.count)))
    running: dict[Connection, tuple[Job, BaseProcess, int]] = {}
    context = multiprocessing.get_context("forkserver")
    try:
        while waiting or running:
            while waiting and free:
                job, slot = waiting.popleft(), free.popleft()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(sender, job, choice.kind, slot), daemon=True)
                process.start()
                sender.close()
                running[receiver] = (job, process, slot)
            for ready in connection.wait(list(running)):
                _attend(cast(Connection, ready), running, free, report)
    finally:
        for _, left, _ in running.values():
            left.terminate()
        for _, left, _ in running.values():
            left.join()


def _attend(
    receiver: Connection,
    running: dict[Connection, tuple[Job, BaseProcess, int]],
    free: deque[int],
    report: Callable[[Job, dict[str, Any]], None],
) -> None:
    job, process, slot = running[receiver]
    try:
        _pass_on(job, receiver.recv(), report)
    except EOFError:
        del running[receiver]
        free.append(slot)
        _buried(job, process)


def _pass_on(job: Job, event: dict[str, Any], report: Callable[[Job, dict[str, Any]], None]) -> None:
    if event["kind"] == "error":
        raise event["error"]
    report(job, event)


def _buried(job: Job, process: BaseProcess) -> None:
    process.join()
    code = process.exitcode or 0
    if code != 0:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise FoldFailed(
            f"fold {job.fold} of {job.plan.entry.name} {how}",
            hint="give the same command again to go on",
        )


def _work(sender: Connection, job: Job, kind: str, index: int) -> None:
    from aubench.engine.fold import run_fold

    _die_with(os.getppid())
    try:
        (job.work or run_fold)(job.plan, job.fold, kind, index, sender.send)
    except AubenchError as error:
        sender.send({"kind": "error", "error": error})
    except BrokenPipeError:  # whoever listened has been killed
        os._exit(1)
    except Exception:
        trace = traceback.format_exc()
        sender.send({"kind": "error", "error": FoldFailed(f"fold {job.fold} of {job.plan.method} broke: {trace}")})


def _die_with(parent: int) -> None:
    """End this process soon after its parent has gone, so that a killed run leaves nobody behind."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="orphan-watch").start()
