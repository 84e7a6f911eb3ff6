"""Commands on a leaderboard, for messages."""

from __future__ import annotations

import os
import shlex

ROOT = "leaderboard"
"""Default folder of the leaderboard."""


def command(verb: str, root: str | os.PathLike[str]) -> str:
    """Return a command on a leaderboard, with its folder where this is not the default."""
    folder = os.fspath(root)
    return f"aubench leaderboard {verb}" + ("" if folder == ROOT else f" --root {shlex.quote(folder)}")


def add_hint(root: str | os.PathLike[str]) -> str:
    """Return the hint where records are missing."""
    return f"add a finished run with `{command('add', root)}`"


def check_hint(root: str | os.PathLike[str]) -> str:
    """Return the hint of the first of several findings."""
    return f"`{command('check', root)}` lists everything"


def build_hint(root: str | os.PathLike[str]) -> str:
    """Return the hint where pages are missing or stale."""
    return f"run `{command('build', root)}`"
