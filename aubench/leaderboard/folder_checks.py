"""Checks of the files of a leaderboard folder, before any of them is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from aubench.core import system_files
from aubench.leaderboard.records import LOCK, RECORDS, REPORTED, REPRODUCED, VARIANTS, Finding

FOLDERS = (RECORDS, REPORTED, REPRODUCED, VARIANTS, "site")
"""Folders of a leaderboard. ``site`` is built and not committed."""
_SUFFIXES = {".md", ".json"}
"""Suffixes of pages, ``entries.json`` and notes."""
_MOST_LEVELS = 12


def check_folder(root: Path) -> list[Finding]:
    """Check that a leaderboard has only folders and files of a leaderboard, and no links or special files."""
    return [*_top(root), *_odd(root, _MOST_LEVELS)]


def _top(root: Path) -> Iterator[Finding]:
    for path in sorted(root.iterdir()):
        is_folder = path.is_dir() and not path.is_symlink()
        is_known = path.name in FOLDERS if is_folder else path.suffix in _SUFFIXES or path.name == LOCK
        if not is_known and not system_files.is_system_file(path.name):
            yield Finding(path, "does not belong into a leaderboard")


def _odd(folder: Path, levels: int) -> Iterator[Finding]:
    """Yield links, special files, and files that change how git treats others, at any depth."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path, mode = Path(entry.path), entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                yield Finding(path, "is a link; a leaderboard has none")
            elif stat.S_ISDIR(mode) and levels and not entry.name.startswith(".git"):
                yield from _odd(path, levels - 1)
            elif not stat.S_ISREG(mode):
                yield Finding(path, "is neither a file nor a folder of a leaderboard")
            elif entry.name.startswith(".git"):
                yield Finding(path, "changes how git treats other files; a leaderboard has none")
