"""A prepared dataset: what ``prepare`` writes and everything after it reads.

A store is a folder::

    store.json       dataset, version, image size, crop, channel meaning, SHA-256 of every array, digest
    frames.parquet   one row a frame (see :data:`FRAME_COLUMNS`), then one int8 column ``AU<n>`` per coded AU
    arrays/<subject>/<sequence>.<modality>.npy   uint8 (F, H, W, C), memory-mapped when read
    arrays/<subject>/<sequence>.landmarks.npy    float32 (F, L, 2), where the data set has them
    skipped.csv      what was left out and why (subject, sequence, frame, reason)
    sequences.csv    counts and choices per sequence
"""

from __future__ import annotations

import contextlib
import copy
import errno
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.errors import DataError
from aubench.core.task import Modality

SCHEMA = 1
FRAME_COLUMNS = {
    "subject": "str",  # F001
    "sequence": "str",  # T1
    "frame": "int32",  # the dataset's own number of the instant
    "row": "int32",  # row of the sequence's arrays
    "source": "str",  # the image it came from, relative to the delivered tree
    "labelled": "bool",  # whether the dataset codes this frame at all
    "missing": "str",  # letters of modalities without an image here (their pixels are 0), e.g. "D"
}
"""Columns of ``frames.parquet`` before the labels, with their types."""

LANDMARKS = "landmarks"
"""What an array of points has in the place of its modality's name."""

_STAMP = ".verified.json"


class StoreInfo(BaseModel):
    """What ``store.json`` says.

    Attributes:
        dataset: Name of the dataset.
        version: Version of the reader's (or renderer's) output; a change in pixels changes it.
        size: Height and width of every image.
        modalities: What each modality's channels mean.
        crop: How the face was cropped, in words a reader of the record can repeat.
        landmarks: How many points each frame has (see :mod:`aubench.core.landmarks`); None without.
        arrays: SHA-256 of each array file, by path relative to the store.
        frames: SHA-256 of the frame table's values.
        digest: SHA-256 of all of the above.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA
    dataset: str
    version: str
    size: int
    modalities: dict[Modality, str]
    crop: str
    landmarks: Literal[49] | None = None
    arrays: dict[str, str]
    frames: str
    digest: str

    @staticmethod
    def with_digest(**fields: Any) -> StoreInfo:
        """Make one whose digest is that of its fields."""
        info = StoreInfo(digest="", **fields)
        return info.model_copy(update={"digest": info.computed_digest()})

    def computed_digest(self) -> str:
        """The digest that the other fields yield."""
        return hashing.hash_json(self.model_dump(mode="json", exclude={"digest"}, exclude_none=True))


def array_path(subject: str, sequence: str, kind: str) -> str:
    """Path of a sequence's array of some modality, or of its landmarks, relative to its store."""
    return f"arrays/{subject}/{sequence}.{kind}.npy"


def table_digest(frames: pd.DataFrame) -> str:
    """SHA-256 of a frame table's names and values, whatever file format holds it."""
    total = hashlib.sha256()
    for name in frames.columns:
        column = frames[name]
        total.update(f"\n{name}\n".encode())
        if pd.api.types.is_string_dtype(column):
            total.update("\n".join(column).encode())
        else:
            total.update(column.to_numpy(np.int64).tobytes())
    return total.hexdigest()


def default_root() -> Path:
    """Where stores live unless ``--store`` or ``AUBENCH_STORES`` says otherwise."""
    chosen = os.environ.get("AUBENCH_STORES")
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("aubench")) / "stores"


class Store:
    """A prepared dataset, opened for reading.

    Args:
        path: The store's folder.

    Raises:
        DataError: There is no store, or it is not whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info = _read_info(path)
        self.frames = _read_frames(path, self.info)
        self._withheld: frozenset[int] = frozenset()

    @cached_property
    def aus(self) -> tuple[int, ...]:
        """The AUs that the store has label columns for."""
        return tuple(int(name[2:]) for name in self.frames.columns if name.startswith("AU"))

    @cached_property
    def _locate(self) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
        keys = list(zip(self.frames["subject"], self.frames["sequence"], strict=True))
        order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        return np.array([order[key] for key in keys]), self.frames["row"].to_numpy(), list(order)

    @cached_property
    def _open(self) -> dict[tuple[str, int], np.ndarray]:
        return {}

    def _array(self, kind: str, index: int) -> np.ndarray:
        if (kind, index) not in self._open:
            subject, sequence = self._locate[2][index]
            path = self.path / array_path(subject, sequence, kind)
            try:
                self._open[kind, index] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            except (OSError, ValueError) as error:
                if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
                    raise DataError("too many files are open", where=path, hint="raise `ulimit -n`") from error
                raise DataError(f"cannot be read ({error})", where=path, hint=_REMAKE) from error
        return self._open[kind, index]

    def read(self, modality: Modality, frames: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images of some frames.

        Args:
            modality: Which image of each frame.
            frames: Row numbers of ``self.frames``.

        Returns:
            uint8 (N, H, W, C), in the order asked for.
        """
        size = self.info.size
        return self._filled(np.empty((len(frames), size, size, modality.channels), np.uint8), modality, frames)

    def landmarks(self, frames: Sequence[int] | np.ndarray) -> np.ndarray:
        """Points of some frames of a store that has them.

        Args:
            frames: Row numbers of ``self.frames``.

        Returns:
            float32 (N, L, 2) columns and rows, 0 to 1 from edge to edge of the image, NaN where unknown.
        """
        return self._filled(np.empty((len(frames), self.landmark_count, 2), np.float32), LANDMARKS, frames)

    @property
    def landmark_count(self) -> int:
        """L: how many points each frame has; 0 without."""
        return self.info.landmarks or 0

    def without_labels(self, frames: Sequence[int] | np.ndarray) -> Store:
        """The same store, but some frames have no labels and cannot be read.

        Args:
            frames: Row numbers of ``self.frames``.
        """
        rest = copy.copy(self)
        rest._withheld = self._withheld | {int(frame) for frame in frames}
        rest.frames = self.frames.copy()
        rest.frames.loc[rest.frames.index[frames], [f"AU{au}" for au in self.aus]] = -1
        rest.frames.loc[rest.frames.index[frames], "labelled"] = False
        return rest

    def _filled(self, values: np.ndarray, kind: str, frames: Sequence[int] | np.ndarray) -> np.ndarray:
        if not self._withheld.isdisjoint(map(int, frames) if self._withheld else ()):
            raise DataError("frames of the test role are out of reach here", where=self.path)
        sequence, row, _ = self._locate
        for i, frame in enumerate(frames):
            values[i] = self._array(kind, int(sequence[frame]))[row[frame]]
        return values

    def verify(self, *, full: bool, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Prove that every array is what ``store.json`` says.

        Args:
            full: Read every byte. Otherwise a file that has neither changed in size nor been written
                to since it was last proven is taken as proven.
            progress: Called with files done and files in all.

        Raises:
            DataError: A file is missing or differs; it is named.
        """
        stamp = self.path / _STAMP
        proven = {} if full else _read_stamp(stamp)
        now: dict[str, list[int]] = {}
        for done, (name, expected) in enumerate(self.info.arrays.items()):
            progress(done, len(self.info.arrays))
            path = self.path / name
            if not path.is_file():
                raise DataError("is missing from the store", where=path, hint=_REMAKE)
            status = path.stat()
            now[name] = [status.st_size, status.st_mtime_ns]
            if proven.get(name) != now[name] and hashing.hash_file(path) != expected:
                raise DataError("has changed since the store was made", where=path, hint=_REMAKE)
        progress(len(self.info.arrays), len(self.info.arrays))
        if now != proven:
            _write_stamp(stamp, now)


_REMAKE = "delete the store and make it again with `aubench data prepare`"


def _read_info(path: Path) -> StoreInfo:
    file = path / "store.json"
    try:
        info = StoreInfo.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise DataError("no store here", where=path, hint="make one with `aubench data prepare`") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=file, hint=_REMAKE) from None
    if info.computed_digest() != info.digest:
        raise DataError("does not match its own digest", where=file, hint=_REMAKE)
    return info


def _read_frames(path: Path, info: StoreInfo) -> pd.DataFrame:
    file = path / "frames.parquet"
    try:
        frames = pd.read_parquet(file)
    except Exception as error:  # pyarrow raises many kinds on a damaged file
        raise DataError(f"cannot be read ({type(error).__name__})", where=file, hint=_REMAKE) from None
    if table_digest(frames) != info.frames:
        raise DataError("has changed since the store was made", where=file, hint=_REMAKE)
    return frames


def _read_stamp(path: Path) -> dict[str, list[int]]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _write_stamp(path: Path, content: dict[str, list[int]]) -> None:
    with contextlib.suppress(OSError):  # a read-only store is proven anew each time
        atomic.write_json(path, content)
