"""Fingerprints of the files that sequences are made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aubench._util.zip_files import DeliveredFile
from aubench.core.system_files import descendants

Inputs = Mapping[str, list[Any]]
"""Number and fingerprint of the files of a sequence, by kind."""


def fingerprint(files: Iterable[tuple[str, DeliveredFile]]) -> list[Any]:
    """Return the number of files, given by name and path, and a digest of names, sizes and modification times.

    The size and time of a file in an archive are those of the archive.
    """
    digest, count = hashlib.sha256(), 0
    for name, path in files:
        try:
            status = path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "unreadable"
        digest.update(f"{name}\0{state}\n".encode(errors="surrogateescape"))
        count += 1
    return [count, digest.hexdigest()]


def tree_fingerprint(folder: Path, exclude: Iterable[Path]) -> list[Any]:
    """Return the fingerprint of all files in a folder except system files and those in excluded folders.

    Args:
        folder: Folder; it may be missing or a file.
        exclude: Absolute paths of files and folders.
    """
    folder = folder.resolve()
    excluded = set(exclude)
    paths = (path for path in descendants(folder) if path.is_file() and excluded.isdisjoint([path, *path.parents]))
    return fingerprint([(str(path.relative_to(folder)), path) for path in paths] or [("", folder)])


def changes(before: Inputs, now: Inputs) -> str:
    """Return the difference of two states of the files of a sequence, empty if there is none."""
    texts = []
    for kind in sorted({*before, *now}):
        (then, old), (count, new) = before.get(kind, [0, None]), now.get(kind, [0, None])
        if then != count:
            texts.append(f"{count} {kind}, before {then}")
        elif old != new:
            texts.append(f"other {kind}")
    return ", ".join(texts)
