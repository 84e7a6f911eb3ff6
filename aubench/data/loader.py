"""Batches of a store on a device, in a reproducible order, from its memory or prefetched by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aubench.core.task import Modality
from aubench.data import clips
from aubench.data.splits import ProtocolDataset, Rows

CPU = torch.device("cpu")
READERS = {"cuda": 4}
"""Number of reading threads by kind of device; one for the others."""
_PREFETCH = 2
"""Batches that each reading thread is ahead."""


class RawBatch(NamedTuple):
    """Frames as stored, on one device.

    Attributes:
        rows: Row numbers of the frame table, (N), or of clips, (N, T), padding negative.
        images: uint8 (N, H, W, C) or (N, T, H, W, C) by modality.
        labels: int8 (N, A) or (N, T, A): 1 present, 0 absent, -1 unknown or padding.
        landmarks: float32 (N, L, 2) or (N, T, L, 2), see :meth:`aubench.data.store.Store.landmarks`; None if not
            requested.
    """

    rows: Rows
    images: dict[Modality, Tensor]
    labels: Tensor
    landmarks: Tensor | None = None


def shuffled_epoch(rows: Rows, count: int | None, seed: int) -> Rows:
    """Draw the frames of one training epoch, shuffled.

    Args:
        rows: Rows of the training split.
        count: Number of frames, drawn without replacement; all if None.
        seed: Seed of the draw and the order.
    """
    return np.random.default_rng(seed).permutation(rows)[:count]


def split_batches(rows: Rows, size: int, *, start: int = 0, drop_last: bool = False) -> list[Rows]:
    """Split rows into batches.

    Args:
        rows: Rows in order, or clips.
        size: Frames or clips per batch.
        start: Number of batches to skip.
        drop_last: Drop an incomplete last batch, unless it is the only one.
    """
    end = len(rows) - len(rows) % size if drop_last and len(rows) >= size else len(rows)
    return [rows[i : min(i + size, end)] for i in range(start * size, end, size)]


def read(
    data: ProtocolDataset, modalities: Iterable[Modality], rows: Rows, *, landmarks: bool = False, pin: bool = False
) -> RawBatch:
    """Read one batch into the memory of the CPU.

    Args:
        data: Data set.
        modalities: Modalities of the images.
        rows: Rows of the batch.
        landmarks: Read landmarks too; the store must have them.
        pin: Use page-locked memory, from which :func:`to_device` copies without waiting.
    """
    frames = clips.image_rows(rows)

    def tensor(values: npt.NDArray[Any]) -> Tensor:
        shaped = torch.from_numpy(values.reshape(*rows.shape, *values.shape[1:]))
        return shaped.pin_memory() if pin else shaped

    images = {m: tensor(data.store.read(m, frames.ravel())) for m in modalities}
    points = tensor(data.store.landmarks(frames.ravel())) if landmarks else None
    return RawBatch(rows, images, labels_of(data, rows), points)


def labels_of(data: ProtocolDataset, rows: Rows) -> Tensor:
    """Return the labels of frames (N, A) or clips (N, T, A), -1 for padding."""
    labels = data.labels[clips.image_rows(rows)]
    labels[rows < 0] = -1
    return torch.from_numpy(labels)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to a device. For a GPU, this thread does not wait for the copy."""
    if device.type == "cuda" and not values.is_pinned():
        values = values.pin_memory()
    return values.to(device, non_blocking=device.type != "mps")


def iter_batches(
    data: ProtocolDataset,
    modalities: tuple[Modality, ...],
    batches: list[Rows],
    *,
    landmarks: bool = False,
    device: torch.device = CPU,
) -> Iterator[RawBatch]:
    """Yield batches in order, from the device's memory if the data set is resident there.

    Otherwise threads read the next batches.

    Args:
        data: Data set.
        modalities: Modalities of the images.
        batches: Rows of each batch.
        landmarks: Include landmarks; the store must have them.
        device: Device of the batches.
    """
    resident = data.resident
    if resident is not None and resident.holds(modalities, batches, device, landmarks=landmarks):
        for rows in batches:
            yield resident.select(modalities, rows, labels_of(data, rows), landmarks=landmarks)
        return
    readers, pending = READERS.get(device.type, 1), deque[Future[RawBatch]]()
    with ThreadPoolExecutor(readers, thread_name_prefix="read-ahead") as pool:
        for rows in batches:
            pending.append(pool.submit(read, data, modalities, rows, landmarks=landmarks, pin=device.type == "cuda"))
            if len(pending) > _PREFETCH * readers:
                yield _moved(pending.popleft().result(), device)
        while pending:
            yield _moved(pending.popleft().result(), device)


def _moved(batch: RawBatch, device: torch.device) -> RawBatch:
    images = {m: to_device(x, device) for m, x in batch.images.items()}
    points = None if batch.landmarks is None else to_device(batch.landmarks, device)
    return RawBatch(batch.rows, images, to_device(batch.labels, device), points)
