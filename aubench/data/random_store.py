"""Random images of a protocol's subjects in place of a store, for measurements of speed without data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from aubench.core.landmarks import COUNT
from aubench.core.protocol import Protocol
from aubench.data.joined_store import joined
from aubench.data.store import Store
from aubench.data.store_format import LANDMARKS, StoreInfo


class RandomStore(Store):
    """A store in memory with one sequence of random images and labels per subject.

    All subjects have the same images, so that a store of any number of subjects needs the memory of one.

    Args:
        protocol: Protocol whose subjects, modalities and AUs the store has.
        size: Height and width of the images.
        frames: Number of frames per subject.
        dataset: Data set of the protocol; the first one if None.
    """

    def __init__(self, protocol: Protocol, size: int, frames: int, dataset: str | None = None) -> None:
        dataset = dataset or protocol.datasets[0]
        rng, subjects = np.random.default_rng(0), sorted(protocol.names_in(dataset))
        count, is_intensity = len(subjects) * frames, protocol.label_rules[dataset] != "occurrence"
        table = {
            "subject": np.repeat(subjects, frames),
            "sequence": "T1",
            "frame": np.tile(np.arange(frames, dtype=np.int32), len(subjects)),
            "row": np.tile(np.arange(frames, dtype=np.int32), len(subjects)),
            "source": "",
            "labelled": True,
            "missing": "",
            **{f"AU{au}": rng.integers(0, 2, count, np.int8) * (5 if is_intensity else 1) for au in protocol.aus},
        }
        self._pool: dict[str, np.ndarray] = {
            m: rng.integers(0, 256, (frames, size, size, m.channels), np.uint8) for m in protocol.modalities
        }
        self._pool[LANDMARKS] = rng.random((frames, COUNT, 2), np.float32)
        self.path, self.frames, self._withheld = Path("random images"), pd.DataFrame(table), frozenset()
        self.info = StoreInfo.with_digest(
            dataset=dataset,
            version="random",
            size=size,
            modalities=dict.fromkeys(protocol.modalities, "random"),
            crop="none",
            landmarks=COUNT,
            labels="intensity" if is_intensity else "occurrence",
            arrays={},
            frames="",
        )

    def array_files(self, kinds: Sequence[str], frames: Sequence[int] | np.ndarray) -> list[Path]:
        """Return no files."""
        return []

    def _array(self, kind: str, subject: str, sequence: str) -> np.ndarray:
        return self._pool[kind]


def random_store(protocol: Protocol, size: int, frames: int) -> Store:
    """Return a :class:`RandomStore`, of each data set if the protocol is on several."""
    return joined([RandomStore(protocol, size, frames, dataset) for dataset in protocol.datasets])
