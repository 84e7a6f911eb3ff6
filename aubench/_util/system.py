"""CPU cores and open files available to this process, its ability to fork, and its search for garbage."""

from __future__ import annotations

import gc
import math
import os
import sys
from contextlib import suppress
from pathlib import Path

MAX_OPEN_FILES = 10_000
"""Limit of open files per process, if the system allows it. macOS allows no more."""
_GARBAGE_THRESHOLD = 100_000
"""Allocations between two searches for cyclic garbage."""


def available_cores() -> int:
    """Return the number of cores that the process may use: its CPU affinity within the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _quotas())]))


def _quotas(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[float]:
    """Return the quotas of the process's control groups, versions 1 and 2, in cores."""
    try:
        lines = [line.split(":", 2) for line in own.read_text(encoding="ascii", errors="replace").splitlines()]
    except OSError:
        return []
    quotas = []
    for _, controllers, name in lines:
        is_second = not controllers
        if not is_second and "cpu" not in controllers.split(","):
            continue
        top = root if is_second else root / "cpu"
        folder = top / name.lstrip("/")
        for group in (folder, *folder.parents[: len(folder.relative_to(top).parts)]):
            with suppress(OSError, ValueError):
                names = ("cpu.max",) if is_second else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                quota, period = map(int, " ".join((group / name).read_text(encoding="ascii") for name in names).split())
                quotas += [quota / period] if quota > 0 else []
    return quotas


def can_fork() -> bool:
    """Return whether this process may have forked child processes."""
    import multiprocessing  # not for commands that only print

    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def raise_file_limit() -> None:
    """Raise the limit of open files. A store has one file per sequence and modality."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < limit:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def collect_rarely() -> None:
    """Search rarely for cyclic garbage, in a process whose many objects stay until its end."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
