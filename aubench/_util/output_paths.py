"""Checks that files and folders can be written, before the work whose results they will hold."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from aubench._util.atomic import is_special, write_error
from aubench.core.errors import UsageError


def check_output_file(path: Path) -> None:
    """Check that a file can be created or replaced, and leave nothing behind.

    Args:
        path: File, device or pipe. Its folder may not exist.

    Raises:
        UsageError: The path is a folder, or a part of it is a file.
        DataError: The folder cannot be written.
    """
    if path.is_dir():
        raise UsageError("is a folder", where=path, hint="give the path of a file")
    if not is_special(path):
        _check_folder(path.resolve().parent, path, "give another path")


def check_output_folder(path: Path, hint: str = "give the path of a folder") -> None:
    """Check that files can be written to a folder, which may not exist, and leave nothing behind.

    Args:
        path: Folder.
        hint: Remedy if the path is a file.

    Raises:
        UsageError: The path, or a part of it, is a file.
        DataError: The folder cannot be written.
    """
    _check_folder(path, path, hint)


def _check_folder(folder: Path, path: Path, hint: str) -> None:
    absolute = folder.absolute()
    existing = next(parent for parent in (absolute, *absolute.parents) if os.path.lexists(parent))
    if not existing.is_dir():
        kind = "is a file" if existing.is_file() else "is no folder"
        raise UsageError(kind if existing == path.absolute() else f"{existing} {kind}", where=path, hint=hint)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise write_error(error, path) from None
