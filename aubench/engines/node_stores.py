"""Stores on the nodes of a cluster: on a shared disk, or made on each node from the same source."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aubench._util import atomic, locks
from aubench.core.errors import UsageError
from aubench.data.store import Store
from aubench.data.store_files import is_store
from aubench.datasets import catalog
from aubench.runs.config import RunConfig
from aubench.runs.store_ref import StoreRef


def with_node_store(config: RunConfig) -> RunConfig:
    """Return a run's configuration with the store that this node can read.

    That is the store of the command if its path exists here, otherwise the node's own one in ``AUBENCH_STORES``. A
    store that needs no source is generated. Every file of the node's own store is compared with its digest once.

    Args:
        config: Configuration from another machine.

    Raises:
        UsageError: The node's store has other content.
        DataError: The node has no store, or a file in it differs.
    """
    store, other = _locate(config.store, config.protocol.datasets), config.pretraining_store
    if other is not None:
        other = _locate(other, [other.dataset])
    if (store, other) == (config.store, config.pretraining_store):
        return config
    moved = replace(config, store=store, pretraining_store=other)
    vars(moved)["content"] = config.content
    return moved


def _locate(store: StoreRef, datasets: Sequence[str]) -> StoreRef:
    """Return the store of this node that has the content of a store."""
    members = store.members or (store,)
    if all(_is_here(member.path) for member in members):
        return store
    opened = catalog.open_stores(datasets, None, lambda done, total: None)
    reference = StoreRef.from_store(opened)
    if reference.digest != store.digest:
        digests = f"digest {reference.digest[:12]}, not {store.digest[:12]}"
        hint = "make it from the same source, with the same version of aubench"
        raise UsageError(f"differs from the store of the command ({digests})", where=opened.path, hint=hint)
    for member in opened.members if reference.members else (opened,):
        _verify_once(member)
    return reference


def _is_here(folder: Path) -> bool:
    """Return whether this node has a store that it can read in a folder of the machine of the command."""
    try:
        return is_store(folder)
    except OSError:  # e.g. the folder of another user
        return False


def _verify_once(store: Store) -> None:
    """Compare every file of a store with its digest, once for each user of this machine."""
    place = hashlib.sha256(f"{store.path.resolve()} {store.info.digest}".encode()).hexdigest()[:16]
    stamp = Path(tempfile.gettempdir(), f"aubench-{os.getuid()}-verified-{place}")
    with locks.exclusive(stamp.with_suffix(".lock")):
        if not stamp.exists():
            store.verify(full=True)
            atomic.write_text(stamp, f"{store.path}\n")
