"""Images of a fold in the memory of a GPU, and preparation of the page cache where they do not fit."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aubench.core.task import Modality, Task
from aubench.data import clips, loader
from aubench.data.loader import RawBatch
from aubench.data.splits import ProtocolDataset, Rows
from aubench.data.store_format import LANDMARKS

MEMORY_SHARE = 0.5
"""Largest share of the free memory of a GPU that images may occupy. The rest is for the training step."""
CACHE_SHARE = 0.5
"""Largest share of the machine's memory that files read in advance may occupy in the page cache."""
_CHUNK = 64


class ResidentImages:
    """Images and landmarks of some frames in the memory of a device, with the bytes of the store.

    Args:
        data: Data set of the frames.
        modalities: Modalities of the images.
        rows: Row numbers, ascending.
        device: Device that holds them.
        landmarks: Hold landmarks too; the store must have them.
    """

    def __init__(
        self,
        data: ProtocolDataset,
        modalities: tuple[Modality, ...],
        rows: Rows,
        device: torch.device,
        *,
        landmarks: bool = False,
    ) -> None:
        self.rows, self.device, store, count = rows, device, data.store, len(rows)
        shape = (count, store.info.size, store.info.size)
        self.images = {m: torch.empty(*shape, m.channels, dtype=torch.uint8, device=device) for m in modalities}
        self.landmarks = torch.empty(count, store.landmark_count, 2, device=device) if landmarks else None
        chunks, done = loader.split_batches(rows, _CHUNK), 0
        for batch in loader.iter_batches(data, modalities, chunks, landmarks=landmarks, device=device):
            part = slice(done, done := done + len(batch.rows))
            for m, images in batch.images.items():
                self.images[m][part] = images
            if self.landmarks is not None and batch.landmarks is not None:
                self.landmarks[part] = batch.landmarks

    def holds(
        self, modalities: Iterable[Modality], batches: Sequence[Rows], device: torch.device, *, landmarks: bool
    ) -> bool:
        """Return whether all frames of batches are held on a device."""
        if device != self.device or not self.images.keys() >= set(modalities) or (landmarks and self.landmarks is None):
            return False
        return not batches or bool(np.isin(clips.image_rows(np.concatenate(batches)), self.rows).all())

    def select(self, modalities: Iterable[Modality], rows: Rows, labels: Tensor, *, landmarks: bool) -> RawBatch:
        """Return the batch of frames (N) or clips (N, T), with labels from the CPU."""
        positions = np.searchsorted(self.rows, clips.image_rows(rows).ravel())
        index = loader.to_device(torch.from_numpy(positions), self.device)

        def take(values: Tensor) -> Tensor:
            return values.index_select(0, index).view(*rows.shape, *values.shape[1:])

        points = take(self.landmarks) if landmarks and self.landmarks is not None else None
        images = {m: take(self.images[m]) for m in modalities}
        return RawBatch(rows, images, loader.to_device(labels, self.device), points)


def prepare(data: ProtocolDataset, task: Task, rows: Rows, device: torch.device) -> ProtocolDataset:
    """Prepare the repeated reading of frames by a GPU.

    Args:
        data: Data set.
        task: Modalities and landmarks to read.
        rows: Row numbers, in any order.
        device: Device of the batches.

    Returns:
        The data set with these frames in the memory of the device, if they fit. Otherwise the data set itself, whose
        files a thread loads into the page cache. On a CPU nothing is prepared.
    """
    rows, budget = np.unique(rows), memory_budget(device)
    if needed_bytes(data, task, rows) <= budget:
        with contextlib.suppress(torch.OutOfMemoryError):  # another process may have taken the memory meanwhile
            return data.with_resident(ResidentImages(data, task.modalities, rows, device, landmarks=task.landmarks > 0))
    if device.type == "cuda":
        kinds = (*task.modalities, *([LANDMARKS] if task.landmarks else []))
        warm_page_cache(data.store.array_files(kinds, rows))
    return data


def needed_bytes(data: ProtocolDataset, task: Task, rows: Rows) -> int:
    """Return the size of the images and landmarks of frames."""
    each = data.store.info.size**2 * task.channels + task.landmarks * 2 * np.dtype(np.float32).itemsize
    return len(rows) * each


def memory_budget(device: torch.device) -> int:
    """Return the number of bytes that images may occupy on a device; -1 unless it is an NVIDIA GPU."""
    if device.type != "cuda":
        return -1
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    limit = int(torch.cuda.get_per_process_memory_fraction(device) * total)
    return int(MEMORY_SHARE * min(free, limit))


def warm_page_cache(files: Sequence[Path]) -> threading.Thread:
    """Ask the system in a thread to load files into its page cache, unless they are too large for its memory."""
    thread = threading.Thread(target=_load, args=(files,), name="page-cache", daemon=True)
    thread.start()
    return thread


def _load(files: Sequence[Path]) -> None:
    if not hasattr(os, "posix_fadvise"):
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError):  # the reader reports missing files
        if sum(path.stat().st_size for path in files) <= CACHE_SHARE * memory:
            for path in files:
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
