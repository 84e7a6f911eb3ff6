"""CPU cores available to this process, its ability to fork, and its search for garbage."""

from __future__ import annotations

import gc
import os
import sys

_GARBAGE_THRESHOLD = 100_000
"""Allocations between two searches for cyclic garbage."""


def available_cores() -> int:
    """Return the number of cores in the process's CPU affinity, or of the machine if there is none."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def can_fork() -> bool:
    """Return whether this process may have forked child processes."""
    import multiprocessing  # not for commands that only print

    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def collect_rarely() -> None:
    """Search rarely for cyclic garbage, in a process whose many objects stay until its end."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
