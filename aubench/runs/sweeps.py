"""Commands that work on a folder of runs: their jobs, and requests to cancel them.

A command keeps a file in ``sweeps`` of the folder of runs while it works. Jobs in the queue of a cluster outlive their
command, and so does its file. Another process cancels a command by a second file beside the first.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterable, Mapping, Set
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aubench._util import atomic, locks
from aubench.core import hashing
from aubench.core.errors import AubenchError, DataError
from aubench.results.run_folder import read_json
from aubench.runs import fold_status

if TYPE_CHECKING:
    from aubench.runs.engine import Job

FOLDER = "sweeps"
QueueKey = tuple[str, int, str]
"""Run folder relative to the folder of runs, fold, and work of a job."""
SLURM_JOBS = "slurm"
"""Folder of the files of Slurm's jobs, in the folder of sweeps."""


class Cancelled(AubenchError):
    """The end of a command by ``aubench cancel``."""

    exit_code = 130


@dataclass(frozen=True)
class Sweep:
    """Jobs of a command.

    Attributes:
        path: File of the sweep.
        engine: Name of the engine.
        host: Machine of the command.
        pid: Process id of the command.
        folds: Number of each job's fold, by run folder relative to the folder of runs.
        queued: Id of each job in the queue of a cluster, by run folder, fold and work.
        is_alive: Whether the command still runs.
    """

    path: Path
    engine: str
    host: str
    pid: int
    folds: Mapping[str, tuple[int, ...]]
    queued: Mapping[QueueKey, str] = field(default_factory=dict)
    is_alive: bool = True

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a sweep; None if its file is gone or damaged."""
        try:
            content = read_json(path, ("engine", "host", "pid", "folds", "queued"))
            folds = {run: tuple(map(int, numbers)) for run, numbers in content["folds"].items()}
            queued = {(run, int(fold), work): str(job) for run, fold, work, job in content["queued"]}
            is_alive = fold_status.is_alive(path, content, _lock(path))
            return cls(path, content["engine"], content["host"], content["pid"], folds, queued, is_alive)
        except (DataError, ValueError, TypeError, AttributeError):
            return None

    def waiting(self, active: Set[str] | None) -> set[tuple[str, int]]:
        """Return the run folders and folds that the command works on, or that have a job in the queue of a cluster.

        Args:
            active: Ids of the jobs in the queue; None if they are unknown, and all jobs of the file count.
        """
        if self.is_alive:
            return {(run, fold) for run, folds in self.folds.items() for fold in folds}
        return {(run, fold) for (run, fold, _), job in self.queued.items() if active is None or job in active}

    def request_cancel(self) -> None:
        """Ask the command to cancel its jobs."""
        atomic.write_text(_request(self.path), "")

    def remove(self) -> None:
        """Remove the files of the sweep."""
        for path in (self.path, _request(self.path), _lock(self.path)):
            path.unlink(missing_ok=True)


def read_sweeps(runs: Path) -> list[Sweep]:
    """Read the sweeps of a folder of runs, in order of their start."""
    sweeps = [Sweep.read(path) for path in sorted((runs / FOLDER).glob("*.json"))]
    return [sweep for sweep in sweeps if sweep is not None]


class SweepFile:
    """File of this command's jobs, a context manager. Without jobs, it has no file.

    Args:
        engine: Name of the engine.
        jobs: Jobs, all in one folder of runs.
    """

    def __init__(self, engine: str, jobs: Iterable[Job]) -> None:
        folds: dict[str, list[int]] = {}
        runs = Path()
        for job in jobs:
            runs = job.config.runs
            folds.setdefault(job_key(job)[0], []).append(job.fold)
        name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:8]}.json"
        self._path = runs / FOLDER / name if folds else None
        self._content: dict[str, Any] = {
            "engine": engine,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "folds": folds,
            "queued": [],
        }
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Write the file, and renew it until the end."""
        if self._path is not None:
            self._lock(self._path)
            try:
                atomic.write_json(self._path, self._content)
            except BaseException:
                self.__exit__()
                raise
            self._stack.enter_context(fold_status.beating(self._path))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file, unless jobs in the queue of a cluster outlive the command."""
        if self._path is not None and not self._content["queued"]:
            self._path.unlink(missing_ok=True)
        if self._path is not None:
            _request(self._path).unlink(missing_ok=True)
        self._stack.close()
        if self._path is not None:
            with suppress(OSError):  # another command uses the folder
                self._path.parent.rmdir()

    def _lock(self, path: Path) -> None:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._stack.enter_context(locks.exclusive(_lock(path)))
            except FileNotFoundError:  # another command, which has just ended, removed the folder
                continue
            return

    def update(self, queued: Mapping[QueueKey, str]) -> None:
        """Write the jobs in the queue of a cluster."""
        entries = [[*key, job] for key, job in sorted(queued.items())]
        if self._path is not None and entries != self._content["queued"]:
            self._content["queued"] = entries
            atomic.write_json(self._path, self._content)

    def raise_if_cancelled(self) -> None:
        """Check the requests of others.

        Raises:
            Cancelled: ``aubench cancel`` was called.
        """
        if self._path is not None and _request(self._path).exists():
            raise Cancelled("cancelled by `aubench cancel`", hint="repeat the command to resume")


def job_key(job: Job) -> tuple[str, int]:
    """Return the run folder of a job, relative to the folder of runs, and its fold."""
    return job.config.run_dir.relative_to(job.config.runs).as_posix(), job.fold


def queue_key(job: Job) -> QueueKey:
    """Return the run folder of a job, its fold, and its work: a function with its arguments.

    A command adopts only jobs of equal keys, so that an evaluation under other conditions is another job.
    """
    target = job.target
    function, bound = (target.func, target.keywords) if isinstance(target, partial) else (target, {})
    work = f"{function.__module__}.{function.__qualname__}"
    return (*job_key(job), f"{work} {hashing.hash_json(repr(bound))[:16]}" if bound else work)


def _lock(path: Path) -> Path:
    return path.with_suffix(".lock")


def _request(path: Path) -> Path:
    return path.with_suffix(".cancel")
