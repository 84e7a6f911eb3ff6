"""Files in ZIP archives of a delivery, read in place."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from aubench.core.errors import DataError
from aubench.core.system_files import is_system_file

_AGAIN = "copy the archive from the delivery again"
_LARGEST = 256 << 20  # bytes of an unpacked file
_RATIO, _SMALL = 100, 1 << 20  # photos shrink by less, meshes by a tenth of it; bytes from which the ratio counts
_OUTSIDE = re.compile(r"/|[A-Za-z]:|(.*/)?\.\.(/|$)|\.?$")
_ENCRYPTED = 1  # bit of the flags


@dataclass(frozen=True, order=True)
class ZipEntry:
    """A file in an archive, with the attributes of a path that readers of files use."""

    archive: Path  # path of the archive
    entry: str  # name in the archive, with slashes

    def __str__(self) -> str:
        return f"{self.archive}/{self.entry}"

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders and name."""
        return PurePosixPath(self.entry.replace("\\", "/")).parts

    @property
    def name(self) -> str:
        """Name without folders."""
        return self.parts[-1]

    @property
    def parent(self) -> str:
        """Archive and folder."""
        return str(self).rpartition("/")[0]

    def stat(self) -> os.stat_result:
        """Return the state of the archive."""
        return self.archive.stat()

    def read_bytes(self) -> bytes:
        """Unpack the file.

        Raises:
            DataError: The archive or the file is damaged.
        """
        try:
            status = self.archive.stat()
            return _open(self.archive, status.st_size, status.st_mtime_ns).read(self.entry)
        except Exception as error:  # each method of compression raises exceptions of its own for damaged files
            raise DataError(f"cannot be unpacked ({error})", where=self, hint=_AGAIN) from None


DeliveredFile = Path | ZipEntry
"""A file of a delivery, in a folder or in an archive."""

COPY_AGAIN = "copy the file from the delivery again"
"""Remedy for a damaged file of a delivery."""


def list_zip(archive: Path) -> tuple[list[ZipEntry], list[str]]:
    """List the files of an archive in order of their names, except those of operating systems.

    Returns:
        Files, and the names of files outside the archive's own folder, such as ``../a``, which are not read.

    Raises:
        DataError: The archive cannot be read, or holds a file twice, an encrypted one, or one that unpacks to more than
            a photo or a mesh has.
    """
    try:
        status = archive.stat()
        infos = _open(archive, status.st_size, status.st_mtime_ns).infolist()
    except (OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"is not a complete ZIP archive ({error})", where=archive, hint=_AGAIN) from None
    files: dict[str, ZipEntry] = {}
    outside = []
    for info, name in _files(infos):
        if _OUTSIDE.match(name):
            outside.append(name)
            continue
        file = ZipEntry(archive, info.filename)
        if name in files:
            raise DataError("is in the archive a second time", where=file, hint=_AGAIN)
        if info.flag_bits & _ENCRYPTED:
            raise DataError("is encrypted", where=file, hint="unpack the archive with its password")
        if info.file_size > max(_SMALL, min(_LARGEST, _RATIO * info.compress_size)):
            what = f"unpacks from {info.compress_size} to {info.file_size} bytes, too many for a photo or a mesh"
            raise DataError(what, where=file, hint=_AGAIN)
        files[name] = file
    return sorted(files.values(), key=lambda file: file.entry), outside


def _files(infos: list[zipfile.ZipInfo]) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    for info in infos:
        name = info.filename.replace("\\", "/")
        parts = [part for part in PurePosixPath(name).parts if part != ".."]
        if not name.endswith("/") and not any(map(is_system_file, parts)):
            yield info, name


@lru_cache(maxsize=2)
def _open(archive: Path, size: int, time: int) -> zipfile.ZipFile:
    """Open an archive once per process; its size and modification time tell whether it is still the same."""
    return zipfile.ZipFile(archive)
