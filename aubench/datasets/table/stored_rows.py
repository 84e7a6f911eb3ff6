"""Comparison of a complete store with the rows of a manifest."""

from __future__ import annotations

from pathlib import Path

from aubench.core.errors import DataError
from aubench.data.store import Store
from aubench.datasets.table.manifest import Manifest
from aubench.datasets.table.table_sequences import source_of


def has_rows(store: Store, manifest: Manifest, root: Path) -> bool:
    """Return whether a store has the frames, images and labels of a manifest.

    Args:
        store: Complete store of a manifest with the same path.
        manifest: Manifest as it is now.
        root: Folder that sources are relative to.
    """
    if store.aus != manifest.aus:
        return False
    rows = {
        (subject, sequence, frame.number): (source_of(frame.pictures, root), *frame.labels)
        for (subject, sequence), frames in manifest.sequences.items()
        for frame in frames
    }
    columns = ["subject", "sequence", "frame", "source", *(f"AU{au}" for au in store.aus)]
    stored = {row[:3]: row[3:] for row in store.frames[columns].itertuples(index=False, name=None)}
    return stored.items() <= rows.items() and rows.keys() - stored.keys() <= _skipped(store)


def _skipped(store: Store) -> set[tuple[str, str, int]]:
    try:
        return set(store.skipped()[["subject", "sequence", "frame"]].itertuples(index=False, name=None))
    except DataError:
        return set()
