"""Joined store: the frames of several data sets' stores behind the interface of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from aubench.core import hashing
from aubench.core.errors import DataError
from aubench.data.store import Store
from aubench.data.store_format import FRAME_COLUMNS, StoreInfo


class JoinedStore(Store):
    """Several stores with their frames in one table.

    The names of subjects are qualified by their data set, as in ``bp4d:F001``. Label columns are those that all stores
    have, and their values are unchanged.

    Args:
        stores: Stores of distinct data sets, in the order of their frames.

    Raises:
        DataError: The sizes of the images differ.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        self._members = tuple(stores)
        first, *others = self._members
        for store in others:
            if store.info.size != first.info.size:
                what = f"has images of {store.info.size} pixels, and {first.path} has {first.info.size}"
                raise DataError(what, where=store.path, hint="prepare both with the same --size")
        self._by_dataset = {store.info.dataset: store for store in self._members}
        self.path = Path("-".join(self._by_dataset))
        aus = [au for au in first.aus if all(au in store.aus for store in others)]
        columns = [*FRAME_COLUMNS, *(f"AU{au}" for au in aus)]
        tables = [
            store.frames[columns].assign(subject=name + ":" + store.frames["subject"])
            for name, store in self._by_dataset.items()
        ]
        self.frames, self._withheld = pd.concat(tables, ignore_index=True), frozenset()
        self.info = self._describe()

    def _describe(self) -> StoreInfo:
        infos = [store.info for store in self._members]
        shared = [m for m in infos[0].modalities if all(m in info.modalities for info in infos)]
        return StoreInfo.with_digest(
            dataset="-".join(self._by_dataset),
            version=", ".join(info.version for info in infos),
            size=infos[0].size,
            modalities={m: _join_texts(info.modalities[m] for info in infos) for m in shared},
            crop=_join_texts(info.crop for info in infos),
            landmarks=infos[0].landmarks if len({info.landmarks for info in infos}) == 1 else None,
            arrays={},
            frames=hashing.hash_json({info.dataset: info.digest for info in infos}),
        )

    @property
    def members(self) -> Sequence[Store]:
        """The joined stores, in the order of their frames."""
        return self._members

    def _array(self, kind: str, subject: str, sequence: str) -> np.ndarray:
        dataset, _, name = subject.partition(":")
        return self._by_dataset[dataset]._array(kind, name, sequence)

    def _array_file(self, subject: str, sequence: str, kind: str) -> Path:
        dataset, _, name = subject.partition(":")
        return self._by_dataset[dataset]._array_file(name, sequence, kind)


def _join_texts(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def joined(stores: Sequence[Store]) -> Store:
    """Return the only store, or the joined store of several.

    Raises:
        DataError: As :class:`JoinedStore`.
    """
    return stores[0] if len(stores) == 1 else JoinedStore(stores)
