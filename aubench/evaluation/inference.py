"""Predicted probabilities of frames, their confusion counts, and the predictions file."""

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

from aubench._util import atomic, ranks
from aubench.core.conditions import CLEAN, Condition
from aubench.core.method import Method
from aubench.core.task import Modality
from aubench.data import clips, loader
from aubench.data.splits import ProtocolDataset, Rows
from aubench.evaluation.predictor import Predictor
from aubench.results import counts as counts_file
from aubench.results import histograms

Probabilities = npt.NDArray[np.float32]

BATCH = 64
"""Frames per batch at inference on a CPU, fixed so that results do not depend on the memory size."""
GPU_BATCH = 256
"""Frames per batch at inference on an NVIDIA GPU, fixed for the same reason."""


class DeviceBatch(NamedTuple):
    """A batch of frames or clips on the device of a method.

    Attributes:
        images: Images of the store by modality.
        rows: Row numbers, (N) or (N, T) for clips, negative for padding.
        valid: Mask of the frames that are not padding, of the same shape.
        positions: Index of each valid frame among the requested rows.
    """

    images: dict[Modality, Tensor]
    rows: Rows
    valid: npt.NDArray[np.bool_]
    positions: npt.NDArray[np.intp]


def iter_batches(
    method: Method, data: ProtocolDataset, rows: Rows, device: torch.device, part: slice = slice(None)
) -> Iterator[DeviceBatch]:
    """Yield batches that contain each of some frames once.

    Args:
        method: Method, whose recipe and task define the clip length and the modalities.
        data: Data set of the frames.
        rows: Row numbers, ascending.
        device: Device of the method.
        part: Batches to yield, all by default.
    """
    length = method.recipe.clip_length
    requested = rows if length is None else clips.cover_with_clips(data, rows, length)
    batches = loader.split_batches(requested, max(batch_size(device) // (length or 1), 1))
    for batch in loader.iter_batches(data, method.task.modalities, batches[part], device=device):
        valid = batch.rows >= 0
        yield DeviceBatch(batch.images, batch.rows, valid, np.searchsorted(rows, batch.rows[valid]))


def batch_size(device: torch.device) -> int:
    """Return the number of frames per batch at inference, which depends on the kind of device alone."""
    return GPU_BATCH if device.type == "cuda" else BATCH


def predict_probabilities(
    predictor: Predictor, data: ProtocolDataset, rows: Rows, device: torch.device
) -> Probabilities:
    """Predict probabilities (N, A) of some frames, rows ascending. One copy from the device ends the prediction.

    Each process of a group predicts some of the batches and returns the probabilities of all.

    Raises:
        MethodError: As :meth:`~aubench.evaluation.predictor.Predictor.probabilities`.
    """
    predicted, valid, positions = [], [], []
    part = slice(ranks.rank(), None, ranks.count())
    for batch in iter_batches(predictor.method, data, rows, device, part):
        predicted.append(predictor.predict(batch.images).flatten(0, -2))
        valid.append(batch.valid.ravel())
        positions.append(batch.positions)
    probs = np.zeros((len(rows), len(predictor.method.task.aus)), np.float32)
    if predicted:
        values = predictor.checked_probabilities(torch.cat(predicted)).numpy()
        probs[np.concatenate(positions)] = values[np.concatenate(valid)]
    return ranks.added(probs)


def confusion_counts(probs: Probabilities, labels: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Count TP, FP, FN and TN per AU (A, 4) at the threshold 0.5. Unknown labels (-1) are not counted."""
    predicted, present, absent = probs > 0.5, labels == 1, labels == 0
    cells = (predicted & present, predicted & absent, ~predicted & present, ~predicted & absent)
    return np.stack([cell.sum(axis=0) for cell in cells], axis=1)


def count_table(
    probs: Probabilities, data: ProtocolDataset, rows: Rows, *, fold: int, condition: Condition = CLEAN
) -> pd.DataFrame:
    """Build the table of confusion counts per subject and AU (:mod:`aubench.results.counts`)."""
    subjects, labels = data.subjects[rows], data.labels[rows]
    table = []
    for subject in sorted(data.protocol.test_subjects(fold)):
        selected = subjects == subject
        for au, cells in zip(
            data.protocol.aus, confusion_counts(probs[selected], labels[selected]).tolist(), strict=True
        ):
            key = {"condition": str(condition), "fold": fold, "subject": subject, "au": au}
            table.append({**key, **dict(zip(counts_file.CELLS, cells, strict=True))})
    return counts_file.canonical(pd.DataFrame(table))


def score_tables(
    probs: Probabilities, data: ProtocolDataset, rows: Rows, *, fold: int, condition: Condition = CLEAN
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Build :func:`count_table`, and the histograms per AU and label (:mod:`aubench.results.histograms`)."""
    key = {"condition": str(condition), "fold": fold}
    bins = histograms.of_predictions(probs, data.labels[rows], data.protocol.aus, **key)
    return count_table(probs, data, rows, fold=fold, condition=condition), bins


def write_predictions(path: Path, probs: Probabilities, data: ProtocolDataset, rows: Rows) -> None:
    """Write subject, sequence, frame, labels and probabilities of each frame; equal predictions give equal bytes."""
    table = data.store.frames.loc[rows, ["subject", "sequence", "frame"]].reset_index(drop=True)
    for i, au in enumerate(data.protocol.aus):
        table[f"AU{au}"] = data.labels[rows, i]
        table[f"p_AU{au}"] = probs[:, i]
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    atomic.write_bytes(path, buffer.getvalue())
