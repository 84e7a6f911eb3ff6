"""Files that operating systems, editors and synchronisation tools leave in any folder.

Such files are hidden, e.g. ``.DS_Store``, ``._name``, ``.nfs…`` and ``.ipynb_checkpoints``, or have a known name.
Listings of leaderboards, runs, studies, stores and code pass over them.
"""

from __future__ import annotations

from contextlib import suppress
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


def files_named(folder: Path, name: str) -> list[Path]:
    """List the files of a name at any depth of a folder, sorted and without system files.

    Links to folders are followed. A folder that is reached by several paths is listed once, if possible by a path
    without links.
    """
    files, visited, folders, links = list[Path](), set[Path](), [folder], list[Path]()
    while folders or links:
        current = (folders or links).pop()
        if current.resolve() in visited:
            continue
        visited.add(current.resolve())
        with suppress(PermissionError):
            for path in children(current):
                if path.is_dir():
                    (links if path.is_symlink() else folders).append(path)
                elif path.name == name:
                    files.append(path)
    return sorted(files)
