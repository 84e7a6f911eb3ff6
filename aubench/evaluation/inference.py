"""Test frames to probabilities, and probabilities to counts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from aubench._util import atomic
from aubench.core.conditions import CLEAN, Condition
from aubench.core.method import Method
from aubench.core.task import Modality
from aubench.data import clips, loader
from aubench.data.splits import ProtocolDataset, Rows
from aubench.evaluation.predictor import Predictor
from aubench.results import counts as counts_file

Probabilities = npt.NDArray[np.float32]

BATCH = 64
"""Frames a batch at inference; fixed, so that no result depends on how the memory is filled."""


class DeviceBatch(NamedTuple):
    """A batch of frames or clips on the device of a method.

    Attributes:
        images: As the store holds them, by modality.
        rows: Row numbers, (N) or of clips (N, T), filling negative.
        own: Which of these are frames and no filling, of the same shape.
        places: Where each of them stands among all rows that were asked for.
    """

    images: dict[Modality, Tensor]
    rows: Rows
    valid: npt.NDArray[np.bool_]
    positions: npt.NDArray[np.intp]


def iter_batches(method: Method, data: ProtocolDataset, rows: Rows, device: torch.device) -> Iterator[DeviceBatch]:
    """What a method predicts of some frames, batch by batch; each frame once.

    Args:
        method: Says whether it takes clips, and of which modalities.
        data: Where the frames are.
        rows: Which, ascending.
        device: Where the method is.
    """
    length = method.recipe.clip_length
    asked = rows if length is None else clips.cover_with_clips(data, rows, length)
    batches = loader.split_batches(asked, max(BATCH // (length or 1), 1))
    for batch in loader.iter_batches(data, method.task.modalities, batches, pin=device.type == "cuda"):
        images = {m: x.to(device, non_blocking=True) for m, x in batch.images.items()}
        own = batch.rows >= 0
        yield DeviceBatch(images, batch.rows, own, np.searchsorted(rows, batch.rows[own]))


def predict_probabilities(sealed: Predictor, data: ProtocolDataset, rows: Rows, device: torch.device) -> Probabilities:
    """Probabilities (N, A) of some frames, rows ascending."""
    found = np.zeros((len(rows), len(sealed.method.task.aus)), np.float32)
    for batch in iter_batches(sealed.method, data, rows, device):
        found[batch.positions] = sealed.probabilities(batch.images).numpy()[batch.valid]
    return found


def confusion_counts(probs: Probabilities, labels: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Count TP, FP, FN and TN per AU (A, 4) at the threshold 0.5. Unknown labels (-1) are not counted."""
    predicted, present, absent = probs > 0.5, labels == 1, labels == 0
    cells = (predicted & present, predicted & absent, ~predicted & present, ~predicted & absent)
    return np.stack([cell.sum(axis=0) for cell in cells], axis=1)


def count_table(
    found: Probabilities, data: ProtocolDataset, rows: Rows, *, fold: int, condition: Condition = CLEAN
) -> pd.DataFrame:
    """Confusion counts per subject and AU, as :mod:`aubench.results.counts` keeps them."""
    subjects, labels = data.subjects[rows], data.labels[rows]
    table = []
    for subject in sorted(data.protocol.test_subjects(fold)):
        own = subjects == subject
        for au, cells in zip(data.protocol.aus, confusion_counts(found[own], labels[own]).tolist(), strict=True):
            key = {"condition": str(condition), "fold": fold, "subject": subject, "au": au}
            table.append({**key, **dict(zip(counts_file.CELLS, cells, strict=True))})
    return counts_file.canonical(pd.DataFrame(table))


def write_predictions(path: Path, found: Probabilities, data: ProtocolDataset, rows: Rows) -> None:
    """Write one row a frame: who, when, labels and probabilities; equal predictions give equal bytes."""
    table = data.store.frames.loc[rows, ["subject", "sequence", "frame"]].reset_index(drop=True)
    for i, au in enumerate(data.protocol.aus):
        table[f"AU{au}"] = data.labels[rows, i]
        table[f"p_AU{au}"] = found[:, i]
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    atomic.write_bytes(path, buffer.getvalue())
