"""Files below the folder of a delivery."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from aubench.core.errors import DataError
from aubench.core.system_files import is_system_file

_WINDOWS_STREAM = ":Zone.Identifier"


def files_below(folder: Path, enter: Callable[[str], bool] = lambda name: True) -> Iterator[Path]:
    """Iterate over the files at any depth, each folder once, without files that systems and archives add.

    Links are followed. A broken link counts as a file.

    Args:
        folder: Folder to search.
        enter: Function of a folder's name that tells whether to search it.

    Raises:
        DataError: A folder cannot be read.
    """
    pending, seen = [folder], set()
    while pending:
        current = pending.pop()
        real = os.path.realpath(current)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(current) as entries:
                content = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            hint = "change its permissions, or move it elsewhere"
            raise DataError(f"cannot be read ({error.strerror})", where=current, hint=hint) from None
        for entry in content:
            if is_system_file(entry.name) or entry.name.endswith(_WINDOWS_STREAM):
                continue
            if not entry.is_dir():
                yield Path(entry.path)
            elif enter(entry.name):
                pending.append(Path(entry.path))
