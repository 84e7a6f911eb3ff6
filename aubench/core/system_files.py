"""Files that operating systems, editors and synchronisation tools leave in any folder.

Such files are hidden, e.g. ``.DS_Store``, ``._name``, ``.nfs…`` and ``.ipynb_checkpoints``, or have a known name.
Listings of leaderboards, runs, studies, stores and code pass over them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_NAMES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__pycache__", "__macosx", "@eadir", "#recycle"}
_NAMES |= {"$recycle.bin", "system volume information", "lost+found"}


def is_system_file(name: str) -> bool:
    """Return whether a file or folder name is that of a system file, or of a backup as editors write it."""
    return name.startswith((".", "~$", "#")) or name.endswith("~") or name.lower() in _NAMES


def children(folder: Path, pattern: str = "*") -> list[Path]:
    """List the files and folders in a folder that match, sorted and without system files; none if it is missing."""
    return sorted(path for path in folder.glob(pattern) if not is_system_file(path.name))


def descendants(folder: Path, pattern: str = "*") -> list[Path]:
    """List the files and folders at any depth of a folder that match, sorted and without system files."""
    paths = folder.rglob(pattern)
    return sorted(path for path in paths if not any(map(is_system_file, path.relative_to(folder).parts)))


def files_named(folder: Path, *names: str) -> list[Path]:
    """List the files of some names at any depth of a folder, sorted and without system files.

    Links are followed as in :func:`walk_files`. Folders that are missing or without permission count as empty.
    """
    return sorted(path for path in walk_files([folder], _readable_entries) if path.name in names)


def _readable_entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_system_file(entry.name)]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def walk_files(
    folders: Iterable[Path],
    list_entries: Callable[[Path], Iterable[os.DirEntry[str]]],
    enter: Callable[[str], bool] = lambda name: True,
) -> Iterator[Path]:
    """Iterate over the files at any depth of some folders.

    Links are followed, last, so that files have the paths of their own folders. Each folder is listed once. A link that
    leads to nothing or cannot be followed counts as a file.

    Args:
        folders: Folders to search.
        list_entries: Function that lists the entries of a folder.
        enter: Function of a folder's name that tells whether to search it.
    """
    pending, links, visited = list(folders), list[Path](), set[str]()
    while pending or links:
        folder = (pending or links).pop()
        real = os.path.realpath(folder)
        if real in visited:
            continue
        visited.add(real)
        for entry in list_entries(folder):
            if not is_folder(entry):
                yield Path(entry.path)
            elif enter(entry.name):
                (links if entry.is_symlink() else pending).append(Path(entry.path))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one."""
    is_link_to_folder = entry.is_symlink() and os.path.isdir(entry.path)  # noqa: PTH112  Path.is_dir may raise
    return is_link_to_folder or entry.is_dir(follow_symlinks=False)
