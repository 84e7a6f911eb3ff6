"""Interface of engines: places where the jobs of folds run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from aubench.runs.config import RunConfig
from aubench.runs.events import Event

if TYPE_CHECKING:
    from aubench.runs.sweeps import QueueKey


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

    @property
    def label(self) -> str:
        """Fold and method, for error messages."""
        return f"fold {self.fold} of {self.config.entry.name}"


class Engine(ABC):
    """Place where jobs run: processes of this machine, or a cluster.

    A job's events and its end arrive in :meth:`wait`, in the thread that calls it.
    """

    name: ClassVar[str]
    """Name on the command line."""

    @abstractmethod
    def submit(self, job: Job) -> Future[None]:
        """Queue a job. Its future ends with an :class:`AubenchError` if the job fails."""

    @abstractmethod
    def wait(self, seconds: float) -> Iterator[tuple[Future[None], Event | None]]:
        """Wait for news of the submitted jobs.

        Args:
            seconds: Longest time to wait.

        Yields:
            Events of jobs, and None for each job whose future is done.
        """

    @abstractmethod
    def cancel(self, future: Future[None]) -> None:
        """Stop a job, whose future is done soon after."""

    def queued(self) -> dict[QueueKey, str]:
        """Return the jobs that outlive this command, see :attr:`aubench.runs.sweeps.Sweep.queued`."""
        return {}

    @abstractmethod
    def close(self, *, interrupted: bool) -> None:
        """End the work on the submitted jobs.

        Args:
            interrupted: Whether the user interrupted the command. Jobs in the queue of a cluster then continue.
        """
