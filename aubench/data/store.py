"""Store: the prepared form of a data set, with images, labels and digests.

A store is a folder::

    store.json       dataset, version, image size, crop, channel meaning, SHA-256 of every array, digest
    frames.parquet   one row per frame (columns: :mod:`~aubench.data.store_format`), then one int8 column ``AU<n>`` per
                     coded AU
    arrays/<subject>/<sequence>.<modality>.npy   uint8 (F, H, W, C), memory-mapped when read
    arrays/<subject>/<sequence>.landmarks.npy    float32 (F, L, 2), if the data set has them
    skipped.csv      skipped frames and files (subject, sequence, frame, reason)
    sequences.csv    counts and choices per sequence
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aubench._util import atomic, system
from aubench.core import hashing, system_files
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data import store_files
from aubench.data.array_file import check_array
from aubench.data.store_format import (
    LANDMARKS,
    REMAKE_HINT,
    StoreInfo,
    array_path,
    expected_arrays,
    read_info,
    table_digest,
)

_STAMP = ".verified.json"

UNCERTAIN_CROP = 50
"""Score of 100 below which a crop should be looked at."""


class Store:
    """A prepared data set, opened for reading.

    Args:
        path: Folder of the store.

    Raises:
        DataError: There is no store, or it is incomplete.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info = read_info(path)
        self.frames = _read_frames(path, self.info)
        self._withheld: frozenset[int] = frozenset()

    @property
    def members(self) -> Sequence[Store]:
        """Stores whose frames this one has, in order: itself, or the members of a joined store."""
        return (self,)

    @cached_property
    def aus(self) -> tuple[int, ...]:
        """AUs with a label column."""
        return tuple(int(name[2:]) for name in self.frames.columns if name.startswith("AU"))

    @cached_property
    def _locate(self) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
        keys = list(zip(self.frames["subject"].tolist(), self.frames["sequence"].tolist(), strict=True))
        order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        return np.array([order[key] for key in keys]), self.frames["row"].to_numpy(), list(order)

    @cached_property
    def _open(self) -> dict[tuple[str, ...], np.ndarray]:
        system.raise_file_limit()
        return {}

    def _array_file(self, subject: str, sequence: str, kind: str) -> Path:
        return self.path / array_path(subject, sequence, kind)

    def _array(self, kind: str, subject: str, sequence: str) -> np.ndarray:
        key = kind, subject, sequence
        if key not in self._open:
            path = self._array_file(subject, sequence, kind)
            try:
                self._open[key] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            except (OSError, ValueError, EOFError) as error:
                if hint := atomic.MANY_FILES.get(getattr(error, "errno", None) or 0):
                    raise DataError("too many files are open", where=path, hint=hint) from error
                raise DataError(f"cannot be read ({error})", where=path, hint=REMAKE_HINT) from error
        return self._open[key]

    def read(self, modality: Modality, frames: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the images of frames.

        Args:
            modality: Modality of the images.
            frames: Row numbers of ``self.frames``.

        Returns:
            uint8 (N, H, W, C), in the requested order.
        """
        size = self.info.size
        return self._fill(np.empty((len(frames), size, size, modality.channels), np.uint8), modality, frames)

    def landmarks(self, frames: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the landmarks of frames of a store that has them.

        Args:
            frames: Row numbers of ``self.frames``.

        Returns:
            float32 (N, L, 2) columns and rows, 0 to 1 from edge to edge of the image, NaN if unknown.
        """
        return self._fill(np.empty((len(frames), self.landmark_count, 2), np.float32), LANDMARKS, frames)

    def array_files(self, kinds: Sequence[str], frames: Sequence[int] | np.ndarray) -> list[Path]:
        """Return the files that hold the images of some modalities, or the landmarks, of frames."""
        sequence, _, names = self._locate
        pairs = [names[index] for index in np.unique(sequence[frames]).tolist()]
        return [self._array_file(subject, name, kind) for subject, name in pairs for kind in kinds]

    @property
    def landmark_count(self) -> int:
        """Number L of landmarks per frame; 0 without."""
        return self.info.landmarks or 0

    def worst_crops(self, count: int) -> list[int]:
        """Return row numbers of frames with the lowest crop scores, of different sequences first."""
        if "crop_score" not in self.frames:
            return []
        ranked = self.frames.sort_values("crop_score", kind="stable")
        repeated = ranked.duplicated(["subject", "sequence"]).to_numpy()
        return [int(row) for row in [*ranked.index[~repeated], *ranked.index[repeated]][:count]]

    def without_labels(self, frames: Sequence[int] | np.ndarray) -> Store:
        """Return a copy in which some frames (row numbers) have no labels and cannot be read."""
        view = copy.copy(self)
        view._withheld = self._withheld | {int(frame) for frame in frames}
        view.frames = self.frames.copy()
        view.frames.loc[view.frames.index[frames], [f"AU{au}" for au in self.aus]] = -1
        view.frames.loc[view.frames.index[frames], "labelled"] = False
        return view

    def _fill(self, values: np.ndarray, kind: str, frames: Sequence[int] | np.ndarray) -> np.ndarray:
        if not self._withheld.isdisjoint(map(int, frames) if self._withheld else ()):
            raise DataError("test frames cannot be read during training", where=self.path)
        sequence, row, names = self._locate
        for i, frame in enumerate(frames):
            values[i] = self._array(kind, *names[sequence[frame]])[row[frame]]
        return values

    def verify(self, *, full: bool, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Compare every array with its digest in ``store.json``, and check that all are of one size and one source.

        Args:
            full: Read all files, tables too, and refuse other arrays. Otherwise skip files whose size and modification
                time have not changed since the last check.
            progress: Called with the numbers of checked and of all files.

        Raises:
            DataError: A file is missing, additional or differs, or an array has another size; the message names it.
        """
        expected = expected_arrays(self.info, self.frames)
        if full:
            self._check_origin()
            self._check_tables()
        for name in expected.keys() - self.info.arrays.keys():
            raise DataError("is missing from the store", where=self.path / name, hint=REMAKE_HINT)
        if full:
            self._check_no_others()
        stamp = self.path / _STAMP
        verified = {} if full else _read_stamp(stamp, self.info.digest)
        current: dict[str, list[int]] = {}
        for done, (name, digest) in enumerate(self.info.arrays.items()):
            progress(done, len(self.info.arrays))
            path = self.path / name
            if not path.is_file():
                raise DataError("is missing from the store", where=path, hint=REMAKE_HINT)
            status = path.stat()
            current[name] = [status.st_size, status.st_mtime_ns]
            if verified.get(name) == current[name]:
                continue
            if hashing.hash_file(path) != digest:
                raise DataError("has changed since the store was made", where=path, hint=REMAKE_HINT)
            if name in expected:
                check_array(path, *expected[name], hint=REMAKE_HINT)
        progress(len(self.info.arrays), len(self.info.arrays))
        if current != verified:
            _write_stamp(stamp, self.info.digest, current)

    def origins(self) -> list[Any]:
        """Return the different digests of plans of the sequences, see :func:`aubench.data.store_writer.origin_of`.

        Raises:
            DataError: The table of sequences cannot be read.
        """
        notes = self.sequence_notes()
        return notes["origin"].unique().tolist() if "origin" in notes else []

    def sequence_notes(self) -> pd.DataFrame:
        """Return counts and choices, one row per sequence.

        Raises:
            DataError: The table of sequences cannot be read.
        """
        return self._read_csv(store_files.SEQUENCES)

    def skipped(self) -> pd.DataFrame:
        """Return the skipped frames and files: subject, sequence, frame (negative for a file) and reason.

        Raises:
            DataError: The table of skipped frames cannot be read.
        """
        names = dict.fromkeys(("subject", "sequence", "reason"), "str")  # a name may be a number
        return self._read_csv(store_files.SKIPPED, dtype=names, usecols=[*names, "frame"], keep_default_na=False)

    def _read_csv(self, name: str, **options: Any) -> pd.DataFrame:
        path = self.path / name
        try:
            table: pd.DataFrame = pd.read_csv(path, **options)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read ({error})", where=path, hint=REMAKE_HINT) from None
        return table

    def _check_origin(self) -> None:
        if len(self.origins()) > 1:
            where = self.path / store_files.SEQUENCES
            raise DataError("its sequences have several sources or options", where=where, hint=REMAKE_HINT)

    def _check_tables(self) -> None:
        for name, digest in (self.info.tables or {}).items():
            path = self.path / name
            if not path.is_file():
                raise DataError("is missing from the store", where=path, hint=REMAKE_HINT)
            if hashing.hash_file(path) != digest:
                raise DataError("has changed since the store was made", where=path, hint=REMAKE_HINT)

    def _check_no_others(self) -> None:
        for path in system_files.descendants(self.path / "arrays"):
            if path.is_file() and path.relative_to(self.path).as_posix() not in self.info.arrays:
                raise DataError("is not a file of this store", where=path, hint="remove it")


def _read_frames(path: Path, info: StoreInfo) -> pd.DataFrame:
    file = path / store_files.FRAMES
    try:
        import pyarrow.parquet as pq

        content = io.BytesIO(file.read_bytes())  # pyarrow opens only paths in UTF-8
        frames: pd.DataFrame = pq.ParquetFile(content).read(use_threads=False).to_pandas()
        digest = table_digest(frames)
    except ImportError:  # pyarrow is missing
        raise
    except Exception as error:  # pyarrow raises many types for a damaged file
        raise DataError(f"cannot be read ({type(error).__name__})", where=file, hint=REMAKE_HINT) from None
    if digest != info.frames:
        raise DataError("has changed since the store was made", where=file, hint=REMAKE_HINT)
    return frames


def _read_stamp(path: Path, digest: str) -> dict[str, list[int]]:
    """Return the states of the files that were checked with the description of a digest."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))[digest])
    except (OSError, ValueError, TypeError, LookupError):
        return {}


def _write_stamp(path: Path, digest: str, states: dict[str, list[int]]) -> None:
    with contextlib.suppress(OSError, DataError):  # a store that is read-only or on a full disk is verified each time
        atomic.write_json(path, {digest: states})
