"""Where a number comes from: code, libraries, machine."""

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
    "scikit-learn",
    "pandas",
    "numba",
)


def capture_environment() -> dict[str, Any]:
    """Libraries and code that compute from here on."""
    return {"packages": packages(), "git": git()}


def packages() -> dict[str, str]:
    """Versions of Python and of the libraries that decide the numbers."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git() -> dict[str, Any]:
    """Commit of the code that runs, and whether tracked files differ from it; None outside a repository."""
    here = str(Path(__file__).resolve().parent)

    def said(*command: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", here, *command], capture_output=True, text=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = said("rev-parse", "HEAD")
    changes = said("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}
