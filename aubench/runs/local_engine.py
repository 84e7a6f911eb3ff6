"""Engine of this machine: one new process per fold, and on each device as many at a time as its user chose."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple, cast

from aubench.core.errors import AubenchError
from aubench.results.run_folder import TRACEBACK
from aubench.runs import devices, fold_process
from aubench.runs.devices import DeviceChoice
from aubench.runs.engine import Engine, Job
from aubench.runs.events import Event


class _Running(NamedTuple):
    future: Future[None]
    job: Job
    process: BaseProcess
    device: int


class LocalEngine(Engine):
    """Queue of waiting jobs, and running processes."""

    name = "local"

    def __init__(self, choice: DeviceChoice) -> None:
        self._choice = choice
        self._free = deque([*range(max(1, choice.count))] * choice.per_device)
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
            future = self._running[receiver].future
            try:
                message = receiver.recv()
            except (EOFError, OSError):  # the process has ended, perhaps in the middle of a message
                self._end(receiver)
                yield future, None
                continue
            if isinstance(message, AubenchError):
                self._outcomes[receiver] = message
            elif message == fold_process.FINISHED:
                self._outcomes[receiver] = None
            else:
                yield future, message

    def cancel(self, future: Future[None]) -> None:
        """Drop a waiting job, or end its process."""
        if not future.cancel():
            for running in self._running.values():
                if running.future is future:
                    running.process.terminate()

    def close(self, *, interrupted: bool) -> None:
        """End all processes."""
        for running in self._running.values():
            running.process.terminate()
        for running in self._running.values():
            running.process.join()

    def _start(self, future: Future[None], job: Job, device: int) -> AubenchError | None:
        work = partial(_work, job, self._choice, device)
        future.set_running_or_notify_cancel()
        try:
            receiver, process = fold_process.start(work, job.label, job.config.fold_dir(job.fold) / TRACEBACK)
        except AubenchError as error:
            self._free.append(device)
            return error
        self._running[receiver] = _Running(future, job, process, device)
        return None

    def _end(self, receiver: Connection) -> None:
        future, job, process, device = self._running.pop(receiver)
        self._free.append(device)
        process.join()
        if receiver not in self._outcomes:
            future.set_exception(fold_process.death_of(job.label, process.exitcode))
        elif error := self._outcomes.pop(receiver):
            future.set_exception(error)
        else:
            future.set_result(None)


def _work(job: Job, choice: DeviceChoice, device: int, report: Callable[[Event], None]) -> None:
    devices.limit_memory(choice, device)
    job.target(job.config, job.fold, choice.kind, device, report)
