"""Environment of a result: versions of the libraries and the state of the git repository."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

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
    """Return the commit of the code and whether tracked files differ from it; None outside a repository."""
    folder = str(Path(__file__).resolve().parent)

    def output(*command: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", folder, *command], capture_output=True, text=True, timeout=20, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = output("rev-parse", "HEAD")
    changes = output("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}
