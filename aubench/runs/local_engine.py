"""Engine of this machine: new processes for each fold, one on each of its devices.

A device has as many folds at a time, and a fold as many devices, as the user chose.
"""

from __future__ import annotations

import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, cast

from aubench._util import ranks
from aubench.core.errors import AubenchError
from aubench.results.run_folder import TRACEBACK
from aubench.runs import devices, fold_process
from aubench.runs.devices import DeviceChoice
from aubench.runs.engine import Engine, Job
from aubench.runs.events import Event


class _Running(NamedTuple):
    """Process of a job. Processes of one job have the same future."""

    future: Future[None]
    job: Job
    process: BaseProcess
    device: int
    number: int
    group: ranks.Group

    @property
    def label(self) -> str:
        """Fold, method and device, for error messages."""
        return f"{self.job.label}, device {self.number + 1}," if self.number else self.job.label


class LocalEngine(Engine):
    """Queue of waiting jobs, and running processes.

    Args:
        choice: Devices.
        group: Processes of this machine and others that train the only job; those of this machine if None.
    """

    name = "local"

    def __init__(self, choice: DeviceChoice, group: ranks.Group | None = None) -> None:
        self._choice, self._group = choice, group
        self._free = deque([*range(max(1, choice.count // choice.per_fold))] * choice.per_device)
        self._waiting: deque[tuple[Future[None], Job]] = deque()
        self._running: dict[Connection, _Running] = {}
        self._outcomes: dict[Connection, AubenchError | None] = {}

    def submit(self, job: Job) -> Future[None]:
        """Queue a job until a device is free."""
        future: Future[None] = Future()
        self._waiting.append((future, job))
        return future

    def wait(self, seconds: float) -> Iterator[tuple[Future[None], Event | None]]:
        """Start as many jobs as devices are free, then yield the messages of the processes."""
        while self._waiting and self._free:
            future, job = self._waiting.popleft()
            if future.cancelled():
                yield future, None
            elif error := self._start(future, job, self._free.popleft()):
                future.set_exception(error)
                yield future, None
        for ready in connection.wait(list(self._running), seconds):
            receiver = cast(Connection, ready)
            if receiver not in self._running:  # another process of its job has ended the job
                continue
            future = self._running[receiver].future
            try:
                message = receiver.recv()
            except (EOFError, OSError):  # the process has ended, perhaps in the middle of a message
                self._end(receiver)
                if future.done():
                    yield future, None
                continue
            if isinstance(message, AubenchError):
                self._outcomes[receiver] = message
            elif message == fold_process.FINISHED:
                self._outcomes[receiver] = None
            else:
                yield future, message

    def cancel(self, future: Future[None]) -> None:
        """Drop a waiting job, or end its process 0, which saves its state; the others follow."""
        if not future.cancel():
            for running in self._running.values():
                if running.future is future and not running.number:
                    running.process.terminate()

    def close(self, *, interrupted: bool) -> None:
        """End all processes. Process 0 of a group saves its state, the others do not handle signals."""
        first = [(receiver, running) for receiver, running in self._running.items() if not running.number]
        for _, running in first:
            running.process.terminate() if running.group.has_first else running.process.kill()
        for receiver, running in first:
            running.process.join()
            self._release(receiver)

    def _start(self, future: Future[None], job: Job, device: int) -> AubenchError | None:
        future.set_running_or_notify_cancel()
        count = self._choice.per_fold
        meeting = Path(tempfile.gettempdir(), f"aubench-ranks-{uuid.uuid4().hex}")
        group = self._group or ranks.Group(0, count, meeting)
        traceback, receiver = job.config.fold_dir(job.fold) / TRACEBACK, None
        for number in range(count):
            rank = group.first + number
            member = ranks.Member(rank, group.count, group.meeting) if group.count > 1 else None
            work = partial(_work, job, self._choice, device * count + number, member)
            path = traceback.with_stem(f"{traceback.stem}-{rank}") if rank else traceback
            try:
                receiver, process = fold_process.start(work, job.label, path)
            except AubenchError as error:
                if receiver:
                    self._running[receiver].process.kill()
                    self._release(receiver)
                else:
                    self._free.append(device)
                return error
            self._running[receiver] = _Running(future, job, process, device, number, group)
        return None

    def _end(self, receiver: Connection) -> None:
        """End a job if its first process has ended, or another process with an error."""
        running = self._running[receiver]
        running.process.join()
        error = self._outcomes.get(receiver, fold_process.death_of(running.label, running.process.exitcode))
        if running.number and error is None:
            del self._running[receiver], self._outcomes[receiver]
            return
        self._release(receiver)
        if error is not None:
            running.future.set_exception(error)
        else:
            running.future.set_result(None)

    def _release(self, receiver: Connection) -> None:
        """End the other processes of a job, and free the devices."""
        ended = self._running[receiver]
        for other, running in list(self._running.items()):
            if running.future is ended.future:
                if other is not receiver:
                    running.process.kill()
                    running.process.join()
                self._outcomes.pop(other, None)
                del self._running[other]
        self._free.append(ended.device)
        if ended.group.has_first:
            ended.group.meeting.unlink(missing_ok=True)


def _work(
    job: Job, choice: DeviceChoice, device: int, member: ranks.Member | None, report: Callable[[Event], None]
) -> None:
    devices.limit_memory(choice, device)
    if member is None:
        job.target(job.config, job.fold, choice.kind, device, report)
        return
    with ranks.joined(member, choice.kind, device):
        job.target(job.config, job.fold, choice.kind, device, report if ranks.is_first() else _ignore)


def _ignore(event: Event) -> None:
    """Report nothing: process 0 does."""
