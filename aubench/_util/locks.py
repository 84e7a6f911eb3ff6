"""Exclusive locks between processes, also on disks that do not support locks."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aubench._util.progress import print_line

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EIO}

_QUIET_SECONDS = 2.0
"""Time after which a process that waits for a lock says so."""


class LockBusyError(Exception):
    """A lock that another process or thread holds."""


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock. The system releases it when the process ends in any way.

    On a disk without locks, a file in the system's temporary folder is locked instead, which protects against other
    processes of this machine only. A line on stderr says so.

    Args:
        path: File to lock. It is created, and removed at the end. Its folder must exist.
        wait: Whether to wait while another process or thread holds the lock.

    Raises:
        LockBusyError: The lock is held elsewhere and ``wait`` is false.
    """
    descriptor: int | None
    try:
        descriptor = _acquire(path, wait)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        print_line(f"aubench: {path.parent}: this disk does not support locks; use it from one machine at a time")
        path, descriptor = _acquire_locally(path, wait)
    try:
        yield
    finally:
        if descriptor is not None:
            path.unlink(missing_ok=True)
            os.close(descriptor)


def is_held(path: Path) -> bool | None:
    """Return whether a process holds the lock, on its disk or in place of it; None if that cannot be tested."""
    for file in (path, _local_path(path)):
        with suppress(FileNotFoundError):
            return _is_locked(file)
    return False


def _is_locked(path: Path) -> bool | None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _acquire(path: Path, wait: bool) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor, path, wait)
            if _is_same_file(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise LockBusyError(str(path)) from None
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in _UNSUPPORTED:
                path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed the file while this process waited


def _lock(descriptor: int, path: Path, wait: bool) -> None:
    """Lock a file. If that takes long, a line on stderr says so."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise
        line = f"aubench: {path.parent}: another process works here; waiting until it ends"
        timer = threading.Timer(_QUIET_SECONDS, print_line, [line])
        timer.daemon = True
        timer.start()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        finally:
            timer.cancel()


def _acquire_locally(path: Path, wait: bool) -> tuple[Path, int | None]:
    local = _local_path(path)
    try:
        return local, _acquire(local, wait)
    except OSError:
        return local, None


def _local_path(path: Path) -> Path:
    """Return the file that is locked in place of one on a disk without locks."""
    digest = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()
    return Path(tempfile.gettempdir()) / f"aubench-{os.getuid()}-{digest[:16]}.lock"


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
