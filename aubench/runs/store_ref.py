"""Reference of the store that a run reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from aubench.core.errors import UsageError
from aubench.data.joined_store import joined
from aubench.data.store import Store


@dataclass(frozen=True)
class StoreRef:
    """Store that a run reads: its path, identity, and number of landmarks per frame.

    A joined store has the references of its members.
    """

    path: Path
    dataset: str
    version: str
    digest: str
    landmarks: int = 0
    members: tuple[StoreRef, ...] = ()

    @classmethod
    def from_store(cls, store: Store) -> Self:
        """Return the reference of an opened store."""
        info, is_joined = store.info, len(store.members) > 1
        members = tuple(map(cls.from_store, store.members)) if is_joined else ()
        path = store.path if is_joined else store.path.resolve()
        return cls(path, info.dataset, info.version, info.digest, store.landmark_count, members)

    def open_store(self) -> Store:
        """Open the store.

        Raises:
            UsageError: It is no longer the store of this reference.
        """
        if self.members:
            return joined([member.open_store() for member in self.members])
        store = Store(self.path)
        if store.info.digest != self.digest:
            raise UsageError("has changed since the command started", where=store.path, hint="repeat the command")
        return store
