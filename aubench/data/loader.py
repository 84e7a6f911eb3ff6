"""Batches of a store, in a reproducible order, prefetched by one thread."""

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

_PREFETCH = 2


class RawBatch(NamedTuple):
    """Frames as stored.

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
    """Read one batch; see :func:`iter_batches`."""
    frames = clips.image_rows(rows)

    def tensor(values: npt.NDArray[Any]) -> Tensor:
        shaped = torch.from_numpy(values.reshape(*rows.shape, *values.shape[1:]))
        return shaped.pin_memory() if pin else shaped

    images = {m: tensor(data.store.read(m, frames.ravel())) for m in modalities}
    labels = torch.from_numpy(data.labels[frames])
    labels[torch.from_numpy(rows < 0)] = -1
    points = tensor(data.store.landmarks(frames.ravel())) if landmarks else None
    return RawBatch(rows, images, labels, points)


def iter_batches(
    data: ProtocolDataset,
    modalities: tuple[Modality, ...],
    batches: list[Rows],
    *,
    landmarks: bool = False,
    pin: bool = False,
) -> Iterator[RawBatch]:
    """Read batches in order and prefetch the next ones.

    Args:
        data: Data set.
        modalities: Modalities of the images.
        batches: Rows of each batch.
        landmarks: Read landmarks too; the store must have them.
        pin: Use page-locked memory, for a fast copy to a GPU.
    """
    pending: deque[Future[RawBatch]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        for rows in batches:
            pending.append(reader.submit(read, data, modalities, rows, landmarks=landmarks, pin=pin))
            if len(pending) > _PREFETCH:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
