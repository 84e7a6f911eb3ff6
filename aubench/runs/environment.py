"""Environment of a result: versions of the libraries and the state of the git repository."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from aubench._util.progress import print_line

_CODE = ("aubench", "methods", "protocols")
"""Folders of code at the top level of the repository."""

_GIT_VARIABLES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"}
"""Variables that name a repository, for example in hooks."""
_PACKAGES = (
    "aubench",
    "numpy",
    "torch",
    "torchvision",
    "timm",
    "lightning-fabric",
    "pandas",
    "numba",
)


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

    Both are None unless the source lies at the top level of a repository that tracks it. If a repository is ignored, a
    line on stderr says why, once per process. Untracked files count as a difference if they are code.
    """
    source = Path(__file__).resolve()
    top = source.parents[2]
    repository = next((folder for folder in source.parents if (folder / ".git").exists()), None)
    if repository is None:
        return {"commit": None, "dirty": None}
    if repository != top:
        return _untrusted(f"{repository} is the repository of another project")
    if shutil.which("git") is None:
        return _untrusted("git is not installed")
    try:
        if not _git(top, "ls-files", source.relative_to(top).as_posix()):
            return _untrusted(f"the repository {top} does not track aubench")
        commit = _git(top, "rev-parse", "HEAD")
        changes = _git(top, "status", "--porcelain", "--untracked-files=no")
        changes += _git(top, "ls-files", "--others", "--exclude-standard", "--", *_CODE)
    except subprocess.CalledProcessError as error:
        return _untrusted(" ".join(error.stderr.split()[:40]))
    except (OSError, subprocess.SubprocessError) as error:
        return _untrusted(f"git failed ({type(error).__name__})")
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *words: str) -> str:
    """Return the output of git, with no variable that names another repository."""
    variables = {name: value for name, value in os.environ.items() if name not in _GIT_VARIABLES}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=20,
        check=True,
        env=variables,
    )
    return done.stdout.strip()


def _untrusted(reason: str) -> dict[str, Any]:
    _print_once(f"no commit of aubench is recorded: {reason}")
    return {"commit": None, "dirty": None}


@cache
def _print_once(line: str) -> None:
    print_line(line)
