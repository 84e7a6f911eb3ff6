"""Synchronisation of run folders with MLflow: results, locks, and attempts while a database is locked.

A run writes only to its folder. :class:`Tracker` then updates MLflow by an
:class:`~aubench.tracking.uploader.Uploader`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from aubench._util.paths import redact_url
from aubench.tracking import mlflow_client
from aubench.tracking.mlflow_client import default_uri
from aubench.tracking.run_export import TrackedRun
from aubench.tracking.uploader import FILE, Uploader

_LOCK_SECONDS = 10
_DATABASE_SECONDS = 60
"""Time in which a database that other processes lock is tried again."""
_PAUSE_SECONDS = 0.5
_DETAIL_LENGTH = 300


@dataclass(frozen=True)
class SyncResult:
    """Result of a synchronisation.

    Attributes:
        ok: Whether MLflow has the complete content of the folder.
        detail: Summary of the sent items, or the error, in one line.
        reachable: False if no server answered.
    """

    ok: bool
    detail: str
    reachable: bool = True

    @classmethod
    def failed(cls, error: Exception, uri: str) -> Self:
        """Create the result of an error of the server or database."""
        where = redact_url(uri)
        if no_answer := mlflow_client.describe_no_answer(error):
            return cls(False, f"{where} {no_answer}", reachable=False)
        reason = " ".join(str(error).split()) or type(error).__name__
        return cls(False, redact_url(reason)[:_DETAIL_LENGTH])


def send_alone(send: Callable[[], SyncResult], lock: Path, uri: str, busy: SyncResult) -> SyncResult:
    """Send while no other process sends the same, and again while other runs lock the database. Never raises.

    Args:
        send: Function whose repetition sends nothing twice.
        lock: File to lock.
        uri: MLflow's tracking URI.
        busy: Result if another process holds the lock.
    """
    deadline = time.monotonic() + _DATABASE_SECONDS
    while True:
        try:
            with FileLock(lock, timeout=_LOCK_SECONDS):
                return send()
        except Exception as error:
            if isinstance(error, Timeout) and error.lock_file == str(lock):
                return busy
            if "database is locked" not in str(error) or time.monotonic() > deadline:
                return SyncResult.failed(error, uri)
        time.sleep(_PAUSE_SECONDS)


class Tracker:
    """Synchronisation of one run with one tracking server or database.

    Args:
        run_dir: Folder of the run.
        uri: MLflow's tracking URI, by default :func:`aubench.tracking.mlflow_client.default_uri`.
    """

    def __init__(self, run_dir: Path, uri: str | None = None) -> None:
        self.run_dir = run_dir
        self.uri = mlflow_client.resolve(uri or default_uri())

    def sync(self) -> SyncResult:
        """Send new items. Never raises, so that tracking cannot fail a run."""
        busy = SyncResult(False, "another process is sending this run")
        return send_alone(self._sync, self.run_dir / f".{FILE}.lock", self.uri, busy)

    def _sync(self) -> SyncResult:
        run = TrackedRun.open(self.run_dir)
        uploader = Uploader(mlflow_client.connect(self.uri), run, redact_url(self.uri))
        if not uploader.start(self.uri):
            return SyncResult(True, "was deleted in MLflow and is left alone")
        for fold in run.folds:
            uploader.send_fold_unless_deleted(fold)
        uploader.send_run()
        return SyncResult(True, uploader.summary())


def send_all(run_dirs: Sequence[Path], uri: str | None = None) -> Iterator[tuple[Path, SyncResult]]:
    """Send several runs. If no server answers, skip the remaining runs; without MLflow, skip all."""
    failure = None if mlflow_client.is_installed() else SyncResult(False, mlflow_client.MISSING, reachable=False)
    for run_dir in run_dirs:
        result = failure or Tracker(run_dir, uri).sync()
        failure = failure or (None if result.reachable else result)
        yield run_dir, result
