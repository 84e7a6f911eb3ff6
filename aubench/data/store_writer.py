"""Resumable writer of stores: sequences in any order, from any number of processes."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench._util import atomic, locks
from aubench.core import hashing
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data import partial_store, store_completion, store_files
from aubench.data.array_file import ArrayFile
from aubench.data.inputs import Inputs
from aubench.data.store import Store
from aubench.data.store_format import LANDMARKS, LabelKind, StoreInfo, array_path, table_digest


@dataclass(frozen=True)
class Sequence:
    """A sequence of the store.

    Attributes:
        subject: Name of the subject.
        sequence: Name of the recorded task.
        images: uint8 (F, H, W, C) by modality, in memory or from :meth:`StoreWriter.open_arrays`.
        others: Further arrays of F rows, by the name in their file. No method reads them.
        frames: Table of F rows: ``frame``, ``source``, ``labelled``, ``missing`` and the ``AU<n>`` columns.
        landmarks: float32 (F, L, 2) as :meth:`Store.landmarks` returns them; for all sequences of a store or for none.
        skipped: Frame number and reason of each skipped frame or file.
        notes: Counts and choices for ``sequences.csv``, by name.
    """

    subject: str
    sequence: str
    images: Mapping[Modality, np.ndarray | ArrayFile]
    frames: pd.DataFrame
    landmarks: np.ndarray | None = None
    skipped: list[tuple[int, str]] = field(default_factory=list)
    notes: dict[str, int | str] = field(default_factory=dict)
    others: Mapping[str, np.ndarray | ArrayFile] = field(default_factory=dict)


def frame_table(
    numbers: npt.ArrayLike,
    sources: str | list[str],
    labelled: bool | npt.ArrayLike,
    aus: Iterable[int],
    labels: np.ndarray,
    missing: str | list[str] = "",
) -> pd.DataFrame:
    """Return the table of a :class:`Sequence`. A column is given by frame (F,), or as one value for all frames.

    Args:
        numbers: Frame numbers (F,).
        sources: Files of the frames.
        labelled: Whether frames are coded.
        aus: AUs of the labels.
        labels: Labels (F, A); -1 is unknown.
        missing: Letters of missing modalities.
    """
    columns = {"frame": np.asarray(numbers, np.int32), "source": sources, "labelled": labelled, "missing": missing}
    return pd.DataFrame(columns | {f"AU{au}": labels[:, i] for i, au in enumerate(aus)})


def origin_of(plan: Mapping[str, object]) -> str:
    """Return the digest of a plan that a store keeps of each sequence."""
    return hashing.hash_json(plan)[:12]


class StoreBusyError(DataError):
    """A store that another process writes."""


Allocate = Callable[[str, tuple[int, ...], Any], ArrayFile]
"""Function that opens a file for an array: modality or :data:`LANDMARKS`, shape, type."""


class StoreWriter:
    """Writer of a store, in ``<path>.partial`` until it is complete.

    One writer at a time holds the lock ``<path>.lock``, until it is finished, closed or garbage. Copies in worker
    processes write under the lock of the original.

    Args:
        path: Folder of the new store.
        plan: Settings that decide its bytes (source, size, options). A partial store is resumed with the same plan.

    Raises:
        StoreBusyError: Another process writes the store.
        DataError: A store exists already, or a partial one with another plan or without any.
    """

    def __init__(self, path: Path, plan: Mapping[str, object]) -> None:
        self.path = path = Path(os.path.abspath(path))  # noqa: PTH100  `.` and `..` have no name
        self.partial = path.with_name(path.name + ".partial")
        self._origin = origin_of(plan)
        self._inputs: Mapping[tuple[str, str], Inputs] = {}
        self._lock = ExitStack()
        partial_store.check_target(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.enter_context(locks.exclusive(partial_store.lock_path(path), wait=False))
        except locks.LockBusyError:
            hint = "wait until it ends, or name another --store"
            raise StoreBusyError("another process is writing this store", where=path, hint=hint) from None
        try:
            partial_store.check_target(path)
            partial_store.check_plan(self.partial, plan)
            atomic.write_json(self.partial / store_files.PLAN, plan)
        except BaseException:
            self.close()
            raise

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders and files that belong to the store, partial or complete."""
        return self.path, self.partial, partial_store.lock_path(self.path)

    def for_sequence(self, subject: str, sequence: str) -> StoreWriter:
        """Return a copy for a worker process, which knows the inputs of one sequence only."""
        key = subject, sequence
        writer = copy.copy(self)
        writer._inputs = {key: self._inputs[key]} if key in self._inputs else {}
        return writer

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lock": ExitStack()}  # the lock stays with the original

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the store; a partial one can be resumed."""
        self._lock.close()

    def has(self, subject: str, sequence: str) -> bool:
        """Return whether this sequence is written already."""
        return partial_store.part_path(self.partial, subject, sequence).exists()

    def discard_changed(self, inputs: Mapping[tuple[str, str], Inputs]) -> list[str]:
        """Discard the finished sequences whose files are no longer those that they were made from.

        Args:
            inputs: Files of every sequence.

        Returns:
            Sequence, change and what happens to it, one string for each discarded sequence.
        """
        self._inputs = inputs
        discarded = []
        for part in partial_store.finished_parts(self.partial):
            change = partial_store.change(part, inputs)
            if change:
                part.unlink()
                discarded.append(f"{' '.join(partial_store.key_of_part(part))}: {change}")
        return discarded

    @contextmanager
    def open_arrays(self, subject: str, sequence: str) -> Iterator[Allocate]:
        """Provide a function ``(kind, shape, dtype)`` that opens a file for the array of a modality or of landmarks.

        The files are complete when the context ends, and removed when it ends by an error.
        """
        with ExitStack() as files:

            def allocate(kind: str, shape: tuple[int, ...], dtype: Any) -> ArrayFile:
                path = self.partial / array_path(subject, sequence, kind)
                return ArrayFile(files.enter_context(atomic.atomic_write(path)), shape, np.dtype(dtype))

            yield allocate

    def add(self, item: Sequence) -> None:
        """Write a sequence; safe to call from several processes for different sequences."""
        kinds: dict[str, np.ndarray | ArrayFile] = {str(m): x for m, x in item.images.items()} | dict(item.others)
        if item.landmarks is not None:
            kinds[LANDMARKS] = item.landmarks
        arrays = {}
        with self.open_arrays(item.subject, item.sequence) as allocate:
            for kind, values in kinds.items():
                file = values if isinstance(values, ArrayFile) else _copy(values, allocate, kind)
                arrays[array_path(item.subject, item.sequence, kind)] = file.digest()
        frames = item.frames.assign(subject=item.subject, sequence=item.sequence, row=np.arange(len(item.frames)))
        part = partial_store.part_path(self.partial, item.subject, item.sequence)
        with atomic.atomic_write(part.with_suffix(".parquet")) as table:
            frames.to_parquet(table, index=False)
        summary = {
            "subject": item.subject,
            "sequence": item.sequence,
            "origin": self._origin,
            "inputs": self._inputs.get((item.subject, item.sequence)),
            "arrays": arrays,
            "table": hashing.hash_file(part.with_suffix(".parquet")),
            "skipped": [(int(frame), reason) for frame, reason in item.skipped],
            "notes": {name: x.item() if isinstance(x, np.generic) else x for name, x in item.notes.items()},
        }
        atomic.write_json(part, summary)

    def finish(
        self,
        *,
        dataset: str,
        version: str,
        size: int,
        modalities: Mapping[Modality, str],
        crop: str,
        landmarks: int | None = None,
        labels: LabelKind = "occurrence",
        skipped: Iterable[tuple[str, str, int, str]] = (),
    ) -> Store:
        """Join the sequences and move the store to its path; see :class:`StoreInfo` for most arguments.

        Args:
            dataset: Name of the data set.
            version: Version of the reader.
            size: Height and width of every image.
            modalities: Meaning of the channels by modality.
            crop: Description of the face crop.
            landmarks: Number of landmarks of each frame.
            labels: Kind of the labels.
            skipped: Further rows of ``skipped.csv``: subject, sequence, frame number or -1, reason.

        Raises:
            DataError: No sequence was written, one comes from another source, an array has another size, or a label is
                not of the kind.
        """
        parts = store_completion.read_parts(self.partial, self._origin)
        frames = store_completion.join_frames(self.partial, parts, labels, skipped)
        info = StoreInfo.with_digest(
            dataset=dataset,
            version=version,
            size=size,
            modalities=dict(modalities),
            crop=crop,
            landmarks=landmarks,
            labels=labels,
            arrays=store_completion.array_digests(parts),
            frames=table_digest(frames),
        )
        store_completion.write_tables(self.partial, parts, info, frames)
        store_completion.move(self.partial, self.path)
        self.close()
        return Store(self.path)


def _copy(values: np.ndarray, allocate: Allocate, kind: str) -> ArrayFile:
    file = allocate(kind, values.shape, np.float32 if kind == LANDMARKS else np.uint8)
    for row in range(len(values)):
        file[row] = values[row]
    return file
