"""Batches of a store, in a reproducible order, read ahead by one thread."""

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

_AHEAD = 2


class RawBatch(NamedTuple):
    """Frames as the store holds them.

    Attributes:
        rows: Row numbers of the frame table, (N) or of clips (N, T), filling negative.
        images: uint8 (N, H, W, C) or (N, T, H, W, C) by modality.
        labels: int8 (N, A) or (N, T, A): 1 present, 0 absent, -1 unknown or filling.
        landmarks: float32 (N, L, 2) or (N, T, L, 2), see :meth:`aubench.data.store.Store.landmarks`; None where not
            asked for.
    """

    rows: Rows
    images: dict[Modality, Tensor]
    labels: Tensor
    landmarks: Tensor | None = None


def shuffled_epoch(rows: Rows, count: int | None, seed: int) -> Rows:
    """The frames of one training epoch, shuffled.

    Args:
        rows: The training role.
        count: How many to draw, without repetition; all where None or more than there are.
        seed: Decides the draw and the order.
    """
    return np.random.default_rng(seed).permutation(rows)[:count]


def split_batches(rows: Rows, size: int, *, start: int = 0, whole: bool = False) -> list[Rows]:
    """Cut rows into batches.

    Args:
        rows: In order, or clips.
        size: Frames a batch, or clips.
        start: Batches to leave out at the beginning.
        whole: Leave out a last batch that is not full, unless it is the only one.
    """
    end = len(rows) - len(rows) % size if whole and len(rows) >= size else len(rows)
    return [rows[i : min(i + size, end)] for i in range(start * size, end, size)]


def read(
    data: ProtocolDataset, modalities: Iterable[Modality], rows: Rows, *, landmarks: bool = False, pin: bool = False
) -> RawBatch:
    """Read one batch; see :func:`stream`."""
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
    """Read batches in order, a few ahead of their use.

    Args:
        data: Where from.
        modalities: Which images.
        batches: Which frames.
        landmarks: Read their facial points too; the store has them.
        pin: Put them into page-locked memory, for a quick copy to a GPU.
    """
    waiting: deque[Future[RawBatch]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        for rows in batches:
            waiting.append(reader.submit(read, data, modalities, rows, landmarks=landmarks, pin=pin))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
