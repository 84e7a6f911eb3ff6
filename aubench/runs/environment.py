"""Environment of a result: versions of the libraries and the state of the git repository."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from aubench._util.git import git_text
from aubench._util.progress import print_line

_CODE = ("aubench", "methods", "protocols")
"""Folders of code at the top level of the repository."""

_PACKAGES = ("aubench", "numpy", "torch", "torchvision", "timm", "lightning-fabric", "pandas", "numba")


def capture_environment() -> dict[str, Any]:
    """Return the present versions of libraries and code."""
    return {"packages": packages(), "git": git()}


def packages() -> dict[str, str]:
    """Return the versions of Python and of the libraries that affect the numbers."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git() -> dict[str, Any]:
    """Return the commit of this source and whether the working tree differs from it.

    Both are None unless the source is at the top level of a repository that tracks it. If a repository is ignored, a
    line on stderr says why, once per process. Untracked files count as a difference if they are code.
    """
    source = Path(__file__).resolve()
    repository = next((folder for folder in source.parents if (folder / ".git").exists()), None)
    if repository is None:
        return {"commit": None, "dirty": None}
    try:
        return _state(repository, source)
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.decode("utf-8", "replace").split()[:40])
    except (_ForeignRepository, OSError, subprocess.SubprocessError) as error:
        reason = str(error)
    _print_once(f"no commit of aubench is recorded: {reason}")
    return {"commit": None, "dirty": None}


class _ForeignRepository(Exception):
    """Reason why the commit of a repository is not that of this source."""


def _state(repository: Path, source: Path) -> dict[str, Any]:
    if repository != source.parents[2]:
        raise _ForeignRepository(f"it runs from {source.parents[1]}, not from the source in {repository}")
    if not git_text(repository, "ls-files", source.relative_to(repository).as_posix()):
        raise _ForeignRepository(f"the repository {repository} does not track aubench")
    changes = git_text(repository, "status", "--porcelain", "--untracked-files=no")
    changes += git_text(repository, "ls-files", "--others", "--exclude-standard", "--", *_CODE)
    return {"commit": git_text(repository, "rev-parse", "HEAD"), "dirty": bool(changes)}


@cache
def _print_once(line: str) -> None:
    print_line(line)
