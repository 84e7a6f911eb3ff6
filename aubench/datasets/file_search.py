"""Files and folders of a delivery, and their names in messages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from aubench.core.errors import DataError, visible
from aubench.core.system_files import is_system_file, walk_files

_WINDOWS_STREAM = ":Zone.Identifier"


def printable(name: str) -> str:
    """Return a file name as text: bytes that are not UTF-8 and control characters become escapes."""
    return visible(os.fsencode(name).decode(errors="backslashreplace"))


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder in order of name, except those that systems and archives add to folders.

    Raises:
        DataError: The folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(filter(_is_delivered, entries), key=lambda entry: entry.name)
    except OSError as error:
        hint = "change its permissions, or move it elsewhere"
        raise DataError(f"cannot be read ({error.strerror})", where=folder, hint=hint) from None


def _is_delivered(entry: os.DirEntry[str]) -> bool:
    return not is_system_file(entry.name) and not entry.name.endswith(_WINDOWS_STREAM)


def files_below(*folders: Path, enter: Callable[[str], bool] = lambda name: True) -> Iterator[Path]:
    """Iterate over the files at any depth, each folder once, without files that systems and archives add.

    Links are followed as in :func:`aubench.core.system_files.walk_files`.

    Args:
        folders: Folders to search.
        enter: Function of a folder's name that tells whether to search it.

    Raises:
        DataError: A folder cannot be read.
    """
    return walk_files(folders, entries_of, enter)
