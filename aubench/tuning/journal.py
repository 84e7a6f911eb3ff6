"""Journal of Optuna that a full disk does not damage."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file

from aubench._util.atomic import write_error

_BLOCK = 2**16
"""Bytes that are read together."""


class SafeJournal(JournalFileBackend):
    """File of entries, one line each, of which an entry that cannot be written leaves nothing.

    Optuna would leave a part of the line, and the next entry would continue it, so that no entry could be read again.
    The part that a worker leaves which dies while it writes is removed before the next entry.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries.

        Raises:
            DataError: The disk is full, or the file cannot be written for another reason of the system.
        """
        content = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with get_lock_file(self._lock), Path(self._file_path).open("ab+", buffering=0) as file:
            size = _complete_size(file)
            os.ftruncate(file.fileno(), size)
            try:
                while content:
                    content = content[file.write(content) :]
                os.fsync(file.fileno())
            except OSError as error:
                os.ftruncate(file.fileno(), size)
                raise write_error(error, Path(self._file_path)) from error


def _complete_size(file: BinaryIO) -> int:
    """Return the number of bytes of a file's complete lines."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(end - _BLOCK, 0)
        file.seek(begin)
        if newline := file.read(end - begin).rfind(b"\n") + 1:
            return begin + newline
        end = begin
    return 0
