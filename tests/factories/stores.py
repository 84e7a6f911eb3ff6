"""Small stores of any data set with random images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.data.store_writer import Sequence as StoredSequence
from aubench.data.store_writer import StoreWriter


def write_store(
    path: Path,
    dataset: str,
    subjects: Sequence[str],
    *,
    aus: Mapping[int, Sequence[int]] | Sequence[int] = (6, 12),
    labels: str = "occurrence",
    modalities: Sequence[str] = ("visual",),
    size: int = 32,
    frames: int = 12,
    seed: int = 0,
) -> Store:
    """Write a store with one sequence of each subject.

    Args:
        path: Folder of the store.
        dataset: Name of the data set.
        subjects: Names of the subjects.
        aus: AUs with random labels, or the labels of all frames of each subject by AU.
        labels: Kind of the labels.
        modalities: Modalities.
        size: Size of the images.
        frames: Frames of each subject.
        seed: Seed of images and labels.
    """
    rng, kinds = np.random.default_rng(seed), [Modality(name) for name in modalities]
    highest = 1 if labels == "occurrence" else 5
    with StoreWriter(path, {"dataset": dataset, "seed": seed}) as writer:
        for subject in subjects:
            values = aus if isinstance(aus, Mapping) else {au: rng.integers(0, highest + 1, frames) for au in aus}
            table = {f"AU{au}": np.asarray(column, np.int8) for au, column in values.items()}
            images = {m: rng.integers(0, 256, (frames, size, size, m.channels), np.uint8) for m in kinds}
            fixed = {"frame": range(frames), "source": "", "labelled": True, "missing": ""}
            writer.add(StoredSequence(subject, "T1", images, pd.DataFrame({**fixed, **table})))
        return writer.finish(
            dataset=dataset, version="1", size=size, modalities=dict.fromkeys(kinds, "random"), crop="", labels=labels
        )
