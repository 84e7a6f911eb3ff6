"""Names of the files of a store."""

from __future__ import annotations

from pathlib import Path

INFO = "store.json"
"""Description of the store with the digests of its files, which is written last."""

FRAMES = "frames.parquet"
"""Table of the frames."""

SKIPPED = "skipped.csv"
"""Table of skipped frames and files with reasons."""

SEQUENCES = "sequences.csv"
"""Table of counts and choices per sequence."""

TABLES = (FRAMES, SKIPPED, SEQUENCES)
"""Table files of a store."""

PLAN = "plan.json"
"""Options and inputs of a store that is not complete yet."""


def is_store(folder: Path) -> bool:
    """Return whether a folder holds a complete store."""
    return (folder / INFO).exists()
