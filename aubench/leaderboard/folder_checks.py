"""Checks of the files of a leaderboard folder, before any of them is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from aubench.leaderboard.records import RECORDS, REPRODUCED, VARIANTS, Finding

_ACTIVE = {".htm", ".html", ".ipynb", ".js", ".py", ".sh", ".svg", ".yaml", ".yml"}
"""Suffixes of files that a browser, an interpreter or a service executes. Reproduced figures are SVG files."""
_OF_GIT = {".git", ".gitattributes", ".github", ".gitignore", ".gitmodules"}
_SITE = "site"
"""Folder of the built HTML page, which is not committed."""
_MOST_LEVELS = 12


def check_folder(root: Path) -> list[Finding]:
    """Check that a leaderboard has no links, no special files and no files that something executes."""
    return list(_odd(root, root, _MOST_LEVELS))


def _odd(root: Path, folder: Path, levels: int) -> Iterator[Finding]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = folder / entry.name
            if entry.is_symlink():
                yield Finding(path, "is a link; a leaderboard has none")
            elif folder != root and entry.name in _OF_GIT:
                yield Finding(path, "changes how git or a service treats other files")
            elif entry.is_dir(follow_symlinks=False):
                is_page = entry.name == _SITE and folder in (root, root / VARIANTS)
                if not is_page and (folder != root or entry.name not in _OF_GIT):
                    yield from _odd(root, path, levels - 1) if levels else [Finding(path, "is nested too deeply")]
            elif not entry.is_file(follow_symlinks=False):
                yield Finding(path, "is neither a file nor a folder")
            elif path.suffix.lower() in _ACTIVE and not {root / RECORDS, root / REPRODUCED} & {*path.parents}:
                yield Finding(path, f"does not belong into a leaderboard, which has no {path.suffix} files")
