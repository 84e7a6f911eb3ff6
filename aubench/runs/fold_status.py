"""State of folds in the folder of runs, readable while no terminal is attached.

A process that trains a fold keeps ``running.json`` in the fold's folder. It is written at the start and after each
epoch, and its time of change is renewed every few seconds. ``failed.json`` has the reason of the last failure.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util import atomic, locks
from aubench._util.heartbeat import repeating
from aubench.core.errors import DataError
from aubench.results.run_folder import FAILED, RUNNING, is_finished, read_json

if TYPE_CHECKING:
    from aubench.runs.events import Event
    from aubench.training.state import EpochFinished

BEAT_SECONDS = 10.0
"""Interval between renewals of a file."""
STALE_SECONDS = 90.0
"""Age of a file on another machine after which its process counts as dead."""


@contextmanager
def track(folder: Path, device: str, report: Callable[[Event], None]) -> Iterator[Callable[[Event], None]]:
    """Keep ``running.json`` during the block.

    Args:
        folder: Folder of the fold, whose lock this process holds.
        device: Name of the device.
        report: Callback for events.

    Yields:
        Callback for events in place of ``report``.
    """
    status = _Status(folder / RUNNING, device)

    def handle(event: Event) -> None:
        if not status.handle(event):
            report(event)

    with beating(folder / RUNNING):
        try:
            yield handle
        finally:
            (folder / RUNNING).unlink(missing_ok=True)


class _Status:
    """Content of ``running.json``."""

    def __init__(self, path: Path, device: str) -> None:
        self._path, self._stages = path, dict[str, int]()
        self._content: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getpid(), "device": device}
        self._last = time.monotonic()
        self._write()

    def handle(self, event: Event) -> bool:
        """Record an event; return whether it is of no interest to others."""
        from aubench.runs.events import TrainingStarted
        from aubench.training.state import EpochFinished

        if isinstance(event, TrainingStarted):
            self._stages, self._last = dict(event.stages), time.monotonic()
        elif isinstance(event, EpochFinished):
            now = time.monotonic()
            left = event.epochs - event.epoch + self._epochs_after(event.stage)
            self._content |= {"epoch": asdict(event), "seconds_left": round(left * (now - self._last), 1)}
            self._last = now
            self._write()
        return isinstance(event, TrainingStarted)

    def _epochs_after(self, stage: str) -> int:
        names = list(self._stages)
        return sum(self._stages[name] for name in names[names.index(stage) + 1 :]) if stage in names else 0

    def _write(self) -> None:
        atomic.write_json(self._path, self._content | {"updated": round(time.time(), 1)})


@contextmanager
def beating(path: Path) -> Iterator[None]:
    """Renew the time of change of a file regularly during the block."""

    def renew() -> bool:
        with suppress(OSError):
            os.utime(path)
        return True

    with repeating(renew, BEAT_SECONDS, "aubench-status"):
        yield


def is_alive(path: Path, content: Mapping[str, Any], lock: Path) -> bool:
    """Return whether the process that writes a file is alive.

    Args:
        path: File that the process renews.
        content: Its content, with ``host``.
        lock: Lock that the process holds.
    """
    held = locks.is_held(lock) if content.get("host") == socket.gethostname() else None
    if held is not None:
        return held
    with suppress(OSError):
        return time.time() - path.stat().st_mtime < STALE_SECONDS
    return False


def read_running(folder: Path) -> dict[str, Any] | None:
    """Read the state of a fold on which a process works; None if there is none."""
    content = _read(folder / RUNNING)
    return content if content and is_alive(folder / RUNNING, content, folder / ".lock") else None


def last_epoch(running: Mapping[str, Any] | None) -> EpochFinished | None:
    """Return the last epoch in the state of a running fold."""
    from aubench.training.state import EpochFinished

    return EpochFinished(**running["epoch"]) if running and "epoch" in running else None


def write_failure(folder: Path, reason: str) -> None:
    """Write the reason of a failure, unless the fold is finished."""
    if not is_finished(folder):
        with suppress(OSError, DataError):  # the disk may be full; the error itself is reported
            atomic.write_json(folder / FAILED, {"reason": reason, "host": socket.gethostname(), "time": time.time()})


def clear_failure(folder: Path) -> None:
    """Remove the reason of a previous failure."""
    (folder / FAILED).unlink(missing_ok=True)


def read_failure(folder: Path) -> str | None:
    """Return the reason of the last failure of an unfinished fold."""
    content = _read(folder / FAILED)
    return None if content is None else str(content.get("reason"))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except DataError:
        return None
