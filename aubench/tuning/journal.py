"""Journal of Optuna that a full disk does not damage."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file

from aubench._util.atomic import write_error


class SafeJournal(JournalFileBackend):
    """File of entries, one line each, of which an entry that cannot be written leaves nothing.

    Optuna would leave a part of the line, and the next entry would continue it, so that no entry could be read again.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries.

        Raises:
            DataError: The disk is full, or the file cannot be written for another reason of the system.
        """
        content = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with get_lock_file(self._lock), Path(self._file_path).open("ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                while content:
                    content = content[file.write(content) :]
                os.fsync(file.fileno())
            except OSError as error:
                os.ftruncate(file.fileno(), size)
                raise write_error(error, Path(self._file_path)) from error
