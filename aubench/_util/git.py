"""Calls of git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from aubench.core.errors import UsageError

_VARIABLES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"}
"""Variables that name a repository, for example in hooks."""


def call_git(folder: Path, *words: str, seconds: float = 20) -> bytes:
    """Return the output of git in a folder, with no variable that names another repository.

    Raises:
        subprocess.SubprocessError: git fails or takes too long. The error of a failed command has its output.
        OSError: git is not installed.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _VARIABLES}
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, timeout=seconds, check=True, env=variables
    )
    return done.stdout


def git_text(folder: Path, *words: str) -> str:
    """Return the output of git as text without white space at its ends.

    Raises:
        subprocess.SubprocessError, OSError: As :func:`call_git`.
    """
    return call_git(folder, *words).decode("utf-8", "replace").strip()


def checked_git(folder: Path, *words: str, seconds: float = 20) -> bytes:
    """Return the output of git as :func:`call_git`.

    Raises:
        UsageError: git fails, takes too long or is not installed. The error has the last line of its output.
    """
    try:
        return call_git(folder, *words, seconds=seconds)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"git {words[0]}: {last_line(error)}", where=folder) from None


def last_line(error: OSError | subprocess.SubprocessError) -> str:
    """Return the last line that a failed call of git printed, or else the error."""
    printed = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip()
    return printed.splitlines()[-1] if printed else str(error)
