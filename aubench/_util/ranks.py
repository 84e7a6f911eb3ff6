"""Processes that train one fold together, one on each device. Without a group there is one process, of rank 0."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util import interrupts, locks

if TYPE_CHECKING:
    import numpy.typing as npt

TIMEOUT = timedelta(minutes=30)
"""Time after which a group whose processes no longer meet ends with an error."""
_LOCKED_ELSEWHERE = timedelta(days=30)
"""Time for which a group may wait for the lock of another command."""
_control: list[Any] = []
"""Group of processes, on CPUs, in which the first may be late."""


@dataclass(frozen=True)
class Member:
    """Part of a process in a group.

    Attributes:
        rank: Number of the process, from 0. Process 0 writes the files and reports.
        count: Number of processes.
        meeting: File through which the processes find each other. It does not exist before.
    """

    rank: int
    count: int
    meeting: Path


@dataclass(frozen=True)
class Group:
    """Processes that train a fold together, as one machine of the group sees them.

    Attributes:
        first: Rank of the first process of this machine.
        count: Number of processes on all machines.
        meeting: As in :class:`Member`. If there are several machines, all share its disk.
    """

    first: int
    count: int
    meeting: Path

    @property
    def has_first(self) -> bool:
        """Whether the first process is one of this machine."""
        return self.first == 0


@contextmanager
def joined(member: Member, kind: str, device: int) -> Iterator[None]:
    """Join a group during the block.

    Only process 0 handles signals, so that it can save the state with the help of the others. The engine ends those.

    Args:
        member: Part of this process.
        kind: Kind of the devices.
        device: Index of the device of this process.
    """
    import torch

    distributed: Any = torch.distributed

    if member.rank:
        for number in interrupts.SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    if kind == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    store = distributed.FileStore(str(member.meeting), member.count)
    distributed.init_process_group(backend, store=store, rank=member.rank, world_size=member.count, timeout=TIMEOUT)
    _control.append(distributed.new_group(backend="gloo", timeout=_LOCKED_ELSEWHERE))
    try:
        yield
    finally:
        _control.clear()
    distributed.destroy_process_group()


def rank() -> int:
    """Return the number of this process in its group."""
    if not _control:
        return 0
    from torch import distributed

    return distributed.get_rank()


def count() -> int:
    """Return the number of processes in the group."""
    if not _control:
        return 1
    from torch import distributed

    return distributed.get_world_size()


def is_first() -> bool:
    """Return whether this process writes the files and reports."""
    return rank() == 0


def meet() -> None:
    """Wait until all processes of the group are here."""
    if _control:
        from torch import distributed

        distributed.barrier(group=_control[0])


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold an exclusive lock in process 0 during the block, which all processes begin and end together.

    Args:
        path: File to lock, see :func:`aubench._util.locks.exclusive`.
    """
    with locks.exclusive(path) if is_first() else nullcontext():
        meet()
        yield
        meet()


def added(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the sum of an array over the processes of the group."""
    if _control:
        import torch
        from torch import distributed

        distributed.all_reduce(torch.from_numpy(values))  # in the memory of the array
    return values
