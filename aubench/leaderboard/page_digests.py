"""Digests of the pages of a leaderboard, and of all that they depend on.

Pages that this machine has built before from the same records, reported numbers and code need not be built again to
compare them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from aubench.core import hashing
from aubench.leaderboard import entries_file
from aubench.leaderboard.extensions import Extensions
from aubench.leaderboard.record_index import PageDigests
from aubench.leaderboard.record_keys import IndexedRecord
from aubench.leaderboard.records import RECORDS, REPRODUCED, VARIANTS


def inputs_of(root: Path, runs: Iterable[IndexedRecord]) -> str:
    """Compute the digest of the inputs of ``entries.json`` from the bytes of the records that were verified."""
    digests = {
        f"{folder}/{name}": digest
        for run in runs
        for folder in ["/".join((RECORDS, *run.keys.path))]
        for name, digest in run.keys.files
    }
    return entries_file.inputs_digest(root, digests)


def pages_key(root: Path, inputs: str, extensions: Extensions) -> str:
    """Compute a digest of all that the pages depend on besides the code."""
    folders = [folder for folder in (VARIANTS, REPRODUCED) if (root / folder).is_dir()]
    names = [getattr(extension, "__qualname__", repr(extension)) for extension in extensions]
    return hashing.hash_json([inputs, root.resolve().name == VARIANTS, folders, names])


def digests_of(files: Mapping[str, str]) -> PageDigests:
    """Compute the SHA-256 of the texts of pages."""
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
