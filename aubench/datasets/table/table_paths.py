"""Paths in a table: images and videos below one folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from aubench.core.errors import DataError
from aubench.datasets.label_text import shorten
from aubench.faces import video_files

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""Extensions of image files."""


class Picture(NamedTuple):
    """An image file, or a frame of a video."""

    path: Path
    frame_index: int | None = None  # of the frame, from 0; None for an image file

    @property
    def extension(self) -> str:
        """Extension in lower case."""
        return self.path.suffix.lower()

    @property
    def is_video(self) -> bool:
        """Whether the file is a video."""
        return self.extension in video_files.EXTENSIONS


class TablePaths:
    """Files that a table names.

    Args:
        root: Folder of relative paths, in which all files must be.
        follow_links: Whether files may be elsewhere.
    """

    def __init__(self, root: Path, follow_links: bool) -> None:
        self.root = root
        self._real_root = os.path.realpath(root).rstrip(os.sep) + os.sep
        self._follow_links = follow_links
        self._files: dict[str, Path] = {}
        self._folders: dict[str, str] = {}
        self._missing: list[tuple[str, Path]] = []

    def find(self, cell: str, where: str) -> Path:
        """Return the file that a cell names. A missing one is noted for :meth:`check`.

        Raises:
            DataError: The file is outside of the folder.
        """
        if cell not in self._files:
            path = self.root / (cell.replace("\\", "/") if os.sep == "/" else cell)
            try:
                is_file = path.is_file()
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise DataError(f"'{shorten(cell)}' is no path ({reason})", where=where, hint="correct it") from None
            if not is_file:
                self._missing.append((where, path))
            elif not self._follow_links and not self.real(path).startswith(self._real_root):
                hint = "name the folder of all images with --root, or give --follow-links"
                raise DataError(f"{path} is outside of {self.root}", where=where, hint=hint)
            self._files[cell] = path.resolve() if ".." in path.parts else path
        return self._files[cell]

    def check(self) -> None:
        """Refuse missing files.

        Raises:
            DataError: Files are missing; the message names some and counts them.
        """
        if self._missing:
            where, path = self._missing[0]
            more = len(self._missing) - 1
            what = f"{path} is missing" + (f", and {more} more files" if more else "")
            hint = "leave the cell of a missing image empty; --root names the folder of relative paths"
            raise DataError(what, where=where, hint=hint)

    def real(self, path: Path) -> str:
        """Return a file's path without links, the same for all names of the file."""
        parent = str(path.parent)
        if parent not in self._folders:
            self._folders[parent] = os.path.realpath(parent)
        return os.path.realpath(path) if path.is_symlink() else os.path.join(self._folders[parent], path.name)  # noqa: PTH118
