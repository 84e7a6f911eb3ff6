"""SHA-256 digests of plain data and files."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any


def hash_json(content: Any) -> str:
    """Return the hexadecimal SHA-256 of plain data in canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_unchanged_file(path: Path) -> str:
    """Return the SHA-256 of a large file; an unchanged file is hashed once per process."""
    status = path.stat()
    return _hash_version(path.absolute(), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=1024)
def _hash_version(path: Path, size: int, modified: int, inode: int) -> str:
    return hash_file(path)
