"""Engine of a Ray cluster: one task per fold, started again if its worker or node is lost."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from aubench.core.errors import UsageError
from aubench.core.plugins import PLUGINS_VARIABLE
from aubench.engines import cluster_worker
from aubench.engines.cluster import ClusterChoice, ClusterEngine, Outcome, portable
from aubench.runs.engine import Engine, Job
from aubench.runs.fold_process import FoldFailed

_CONNECT_SECONDS = 10.0
RETRIES = 3
"""Number of times that a fold starts again after its worker or node is lost."""


@dataclass(frozen=True)
class RayChoice(ClusterChoice):
    """GPUs or CPU cores of a Ray cluster.

    Attributes:
        gpus_per_fold: GPUs of each fold, 0 on CPUs.
    """

    gpus_per_fold: float = 1.0

    def engine(self) -> Engine:
        """Create the engine. :func:`connect` has been called."""
        return RayEngine(self)


def connect(address: str | None) -> None:
    """Connect this process to a Ray cluster, or start one.

    Args:
        address: Address of the cluster, ``auto`` for the one of this machine, or ``local`` to start one. If None,
            ``RAY_ADDRESS`` or ``auto``.

    Raises:
        UsageError: There is no such cluster, or it has another version of Ray or Python.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    variables = {name: os.environ[name] for name in (PLUGINS_VARIABLE,) if name in os.environ}
    _check_reachable(address)
    runtime = {"env_vars": variables} if variables else None
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=runtime)
    except (ConnectionError, ValueError) as error:
        hint = "start one with `ray start --head`, or give --address local"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"no Ray cluster ({reason})", where=f"--address {address}", hint=hint) from None
    except RuntimeError as error:
        hint = "use the cluster's versions of Ray and Python here"
        raise UsageError(f"cannot join the Ray cluster ({error})", where=f"--address {address}", hint=hint) from None


def _check_reachable(address: str) -> None:
    """Connect once to ``HOST:PORT``, because Ray itself tries for minutes and then ends the process."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.removeprefix("ray://"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:  # the last one if it is no name of a host
        hint = "give the address that `ray status` shows on the head node"
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"no Ray cluster ({reason})", where=f"--address {address}", hint=hint) from None


def has_gpus() -> bool:
    """Return whether the connected cluster has a GPU now."""
    import ray

    module: Any = ray
    return bool(module.cluster_resources().get("GPU"))


class RayEngine(ClusterEngine):
    """Tasks of Ray. Each one has a process of its own."""

    name = "ray"

    def __init__(self, choice: RayChoice) -> None:
        import ray

        super().__init__()
        self._choice = choice.on_node()
        self._ended: SimpleQueue[tuple[Future[None], Future[Outcome]]] = SimpleQueue()
        self._tasks: dict[Future[None], Any] = {}
        self._work: Any = ray.remote(
            num_cpus=choice.per_fold,
            num_gpus=choice.gpus_per_fold,
            max_calls=1,  # a fold's numbers cannot depend on folds before it, and its GPU memory is freed
            max_retries=RETRIES,
            retry_exceptions=False,
        )(cluster_worker.work)

    def submit(self, job: Job) -> Future[None]:
        """Submit a task, which waits in Ray until a node has free devices."""
        future = self._add(job)
        task = self._work.options(name=job.label).remote(portable(job), self._choice, str(Path.cwd()))
        self._tasks[future] = task
        task.future().add_done_callback(partial(self._put, future))
        return future

    def _put(self, future: Future[None], task: Future[Outcome]) -> None:
        self._ended.put((future, task))

    def _poll(self, seconds: float) -> Iterator[tuple[Future[None], Outcome]]:
        try:
            while True:
                future, task = self._ended.get(timeout=seconds)
                label = self._jobs[future].label
                del self._tasks[future]
                yield future, _outcome(label, task)
                seconds = 0.0
        except Empty:
            return

    def cancel(self, future: Future[None]) -> None:
        """End a task and its process."""
        import ray

        if future in self._tasks:
            ray.cancel(self._tasks[future], force=True)

    def close(self, *, interrupted: bool) -> None:
        """End all tasks. Ray would end them with the command in any case."""
        for future in list(self._tasks):
            self.cancel(future)


def _outcome(label: str, task: Future[Outcome]) -> Outcome:
    from ray import exceptions

    error = task.exception()
    if error is None:
        return task.result()
    hint = "repeat the command to resume"
    if isinstance(error, exceptions.OutOfMemoryError):
        return FoldFailed(f"{label} was ended because the memory of its node ran out", hint=hint)
    if isinstance(error, exceptions.WorkerCrashedError | exceptions.NodeDiedError | exceptions.LocalRayletDiedError):
        return FoldFailed(f"{label} lost its worker or node {RETRIES + 1} times", hint=hint)
    if isinstance(error, exceptions.RayTaskError):
        hint = "install the same version of aubench on every node"
    lines = [line for line in str(error).splitlines() if line.strip()]
    return FoldFailed(f"{label} broke on its node ({lines[-1] if lines else type(error).__name__})", hint=hint)
