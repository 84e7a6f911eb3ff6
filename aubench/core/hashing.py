"""Digests: what makes two things the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def hash_json(content: Any) -> str:
    """SHA-256, in hexadecimal, of plain data in canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256, in hexadecimal, of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
