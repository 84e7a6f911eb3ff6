"""Files that submitit leaves in the folder of Slurm's jobs."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from aubench._util import locks

_TEMPORARY = re.compile(r"\.submission_file_.*\.sh|.*_submission\.sh|[0-9a-f]{32}\.pkl")
"""Names of batch files, which ``sbatch`` copies, and of jobs that have no id yet."""


@contextmanager
def submission(folder: Path) -> Iterator[None]:
    """Submit jobs in the block, one command at a time, and remove the files that Slurm does not need afterwards.

    If Slurm refuses an array, submitit leaves a file of each of its jobs. It also prints the reason of each refusal to
    stderr, which is dropped, because the error has the reason too.

    Args:
        folder: Folder of the files of Slurm's jobs.
    """
    with locks.exclusive(folder / ".submission.lock"):
        try:
            with redirect_stderr(io.StringIO()):
                yield
        finally:
            for path in folder.iterdir():
                if _TEMPORARY.fullmatch(path.name):
                    path.unlink(missing_ok=True)
