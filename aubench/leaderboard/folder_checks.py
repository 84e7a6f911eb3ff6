"""Checks of the files of a leaderboard folder, before any of them is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from aubench.leaderboard.records import RECORDS, REPRODUCED, VARIANTS, Finding

_ACTIVE = {".htm", ".html", ".ipynb", ".js", ".py", ".sh", ".svg", ".yaml", ".yml"}
"""Suffixes of files that a browser, an interpreter or a service executes."""
_OF_GIT = {".git", ".gitattributes", ".github", ".gitignore", ".gitmodules"}
_SITE = "site"
"""Folder of the built HTML page, which is not committed."""
_MOST_LEVELS = 12


def check_folder(root: Path) -> list[Finding]:
    """Check that a leaderboard has no links, no special files and no files that something executes."""
    with_pages = {str(root), str(root / VARIANTS)}
    allowed = {f"{root / RECORDS}{os.sep}": _ACTIVE, f"{root / REPRODUCED}{os.sep}": {".svg"}}
    return [Finding(Path(path), what) for path, what in _odd(str(root), with_pages, allowed, 0)]


def _odd(folder: str, with_pages: Set[str], allowed: Mapping[str, Set[str]], level: int) -> Iterator[tuple[str, str]]:
    """Yield paths with their problems. Paths are text, since objects for each of many files are slow.

    Args:
        folder: Folder to list.
        with_pages: Folders that may have a built HTML page.
        allowed: Suffixes of :data:`_ACTIVE` that are accepted, by the beginning of the path. Those among the records
            are found as files of no record.
        level: Number of folders above, from that of the leaderboard.
    """
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            suffix = entry.name[entry.name.rfind(".") :]
            if entry.is_symlink():
                yield entry.path, "is a link; a leaderboard has none"
            elif level and entry.name in _OF_GIT:
                yield entry.path, "changes how git or a service treats other files"
            elif entry.is_dir(follow_symlinks=False):
                if entry.name in _OF_GIT or (entry.name == _SITE and folder in with_pages):
                    continue
                if level == _MOST_LEVELS:
                    yield entry.path, "is nested too deeply"
                else:
                    yield from _odd(entry.path, with_pages, allowed, level + 1)
            elif not entry.is_file(follow_symlinks=False):
                yield entry.path, "is neither a file nor a folder"
            elif (kind := suffix.lower()) in _ACTIVE and not any(
                entry.path.startswith(start) and kind in kinds for start, kinds in allowed.items()
            ):
                yield entry.path, f"does not belong into a leaderboard, which has no {suffix} files"
