"""Atomic writes: to a temporary file that is then renamed."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from aubench.core.errors import DataError

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a full disk, an exhausted quota and a limit of file sizes."""
MANY_FILES = {
    errno.EMFILE: "raise `ulimit -n`, the limit of open files",
    errno.ENFILE: "close other programs, because too many files are open",
}
"""Hints for errors of too many open files."""


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file next to ``path`` for writing, rename it on success and remove it on failure.

    Args:
        path: File to create or replace. Its folder is created if missing. A symbolic link remains, and its file is
            replaced. A device or a pipe is written directly.

    Raises:
        DataError: The disk is full, or the file cannot be written for another reason of the system.
    """
    if is_special(path):
        with _naming(path), path.open("wb") as stream:
            yield stream
        return
    if path.is_symlink():
        path = path.resolve()
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            with _naming(path):
                file.flush()
                os.fsync(file.fileno())
        with _naming(path):
            Path(name).chmod(0o644)
            Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise write_error(error, path) from error
        raise


def is_special(path: Path) -> bool:
    """Return whether a path exists and is no file or folder, but e.g. a device, a pipe or a link to one."""
    return path.exists() and not (path.is_file() or path.is_dir())


def remove_unfinished_files(folder: Path, besides: Sequence[str] = ()) -> None:
    """Remove the temporary files of processes that were killed while they wrote files of a folder.

    Args:
        folder: Folder that this process has locked.
        besides: Names of files that other processes write without the lock.
    """
    for path in folder.glob(".*.tmp"):
        if not path.name.startswith(tuple(f".{name}." for name in besides)):
            path.unlink(missing_ok=True)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Convert errors of the system in the block to :func:`write_error`."""
    try:
        yield
    except OSError as error:
        raise write_error(error, path) from error


def write_error(error: OSError, path: Path) -> DataError:
    """Create the error of a file that cannot be written."""
    reason = error.strerror or str(error)
    if error.errno in DISK_FULL:
        what = "the disk is full" if error.errno == errno.ENOSPC else f"the disk is full ({reason})"
        return DataError(what, where=path, hint="free some space and repeat the command")
    hint = MANY_FILES.get(error.errno or 0, "check the folder and its permissions")
    return DataError(f"cannot be written ({reason})", where=path, hint=hint)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` to ``path`` atomically."""
    with atomic_write(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` atomically, as UTF-8; bytes of undecodable file names become JSON escapes."""
    write_bytes(path, content.encode("utf-8", "backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` to ``path`` atomically, as indented JSON with a final newline."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """Return the text that :func:`write_json` writes."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
