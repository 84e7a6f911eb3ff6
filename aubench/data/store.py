"""Store: the prepared form of a data set, with images, labels and digests.

A store is a folder::

    store.json       dataset, version, image size, crop, channel meaning, SHA-256 of every array, digest
    frames.parquet   one row per frame (see :data:`FRAME_COLUMNS`, in some stores also :data:`CROP_COLUMNS`), then one
                     int8 column ``AU<n>`` per coded AU
    arrays/<subject>/<sequence>.<modality>.npy   uint8 (F, H, W, C), memory-mapped when read
    arrays/<subject>/<sequence>.landmarks.npy    float32 (F, L, 2), if the data set has them
    skipped.csv      skipped frames and files (subject, sequence, frame, reason)
    sequences.csv    counts and choices per sequence
"""

from __future__ import annotations

import contextlib
import copy
import errno
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from aubench._util import atomic
from aubench._util.paths import data_folder
from aubench.core import hashing, system_files
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.array_file import check_array

SCHEMA: Literal[1] = 1
FRAME_COLUMNS = {
    "subject": "str",  # F001
    "sequence": "str",  # T1
    "frame": "int32",  # number of the frame in the data set
    "row": "int32",  # row of the sequence's arrays
    "source": "str",  # source image, relative to the delivered tree
    "labelled": "bool",  # whether the data set codes this frame
    "missing": "str",  # letters of modalities without an image here (their pixels are 0), e.g. "D"
}
"""Columns of ``frames.parquet`` before the labels, with their types."""

TABLES = ("frames.parquet", "skipped.csv", "sequences.csv")
"""Table files of a store."""

CROP_COLUMNS = {
    "crop_source": "str",  # source of the crop: landmarks, mesh, detector, flow, or neighbours in time
    "crop_score": "int8",  # 0 to 100: how well the position of the face is known
}
"""Further columns, of stores whose crops were detected."""

LANDMARKS = "landmarks"
"""Kind of an array of landmarks, instead of a modality."""

LabelKind = Literal["occurrence", "intensity"]
"""Meaning of the labels: 0 and 1, or intensities 0 to 5; -1 is unknown in both."""

_STAMP = ".verified.json"


class StoreInfo(BaseModel):
    """Content of ``store.json``.

    Attributes:
        dataset: Name of the data set.
        version: Version of the reader or renderer; a change in pixels changes it.
        size: Height and width of every image.
        modalities: Meaning of the channels of each modality.
        crop: Description of the face crop.
        landmarks: Number of landmarks per frame (see :mod:`aubench.core.landmarks`); None without.
        labels: Kind of the ``AU<n>`` columns. Occurrence, the kind of stores without this field, is not in the digest.
        arrays: SHA-256 of each array file, by path relative to the store.
        frames: SHA-256 of the frame table's values.
        digest: SHA-256 of all fields above.
        tables: SHA-256 of each table file, by name; None in older stores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = SCHEMA
    dataset: str
    version: str
    size: int
    modalities: dict[Modality, str]
    crop: str
    landmarks: Literal[49] | None = None
    labels: LabelKind = "occurrence"
    arrays: dict[str, str]
    frames: str
    digest: str
    tables: dict[str, str] | None = None

    @staticmethod
    def with_digest(**fields: Any) -> StoreInfo:
        """Create an instance with the digest of its fields."""
        info = StoreInfo(digest="", **fields)
        return info.model_copy(update={"digest": info.computed_digest()})

    def computed_digest(self) -> str:
        """Return the digest of the fields before it."""
        default = {"labels"} if self.labels == "occurrence" else set()
        excluded = {"digest", "tables", *default}
        return hashing.hash_json(self.model_dump(mode="json", exclude=excluded, exclude_none=True))


def array_path(subject: str, sequence: str, kind: str) -> str:
    """Return the path, relative to the store, of a sequence's array of a modality or of landmarks."""
    return f"arrays/{subject}/{sequence}.{kind}.npy"


def table_digest(frames: pd.DataFrame) -> str:
    """Return the SHA-256 of a frame table's names and values, independent of the file format."""
    digest = hashlib.sha256()
    for name in frames.columns:
        column = frames[name]
        digest.update(f"\n{name}\n".encode())
        if pd.api.types.is_string_dtype(column):
            digest.update("\n".join(column).encode())
        else:
            digest.update(column.to_numpy(np.int64).tobytes())
    return digest.hexdigest()


def check_arrays(folder: Path, info: StoreInfo, frames: pd.DataFrame) -> None:
    """Check that every frame has an image of the store's size in every modality.

    Raises:
        DataError: An array is missing, or has another size or type than the others.
    """
    for name, (dtype, shape) in _expected_arrays(info, frames).items():
        check_array(folder / name, dtype, shape, hint=_REMAKE)


def _expected_arrays(info: StoreInfo, frames: pd.DataFrame) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of the arrays of all sequences, by path."""
    size = info.size
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    for (subject, sequence), count in Counter(zip(frames["subject"], frames["sequence"], strict=True)).items():
        for modality in info.modalities:
            expected[array_path(subject, sequence, modality)] = "uint8", (count, size, size, modality.channels)
        if info.landmarks:
            expected[array_path(subject, sequence, LANDMARKS)] = "float32", (count, info.landmarks, 2)
    return expected


def default_root() -> Path:
    """Return the default folder of stores, which ``AUBENCH_STORES`` overrides.

    Raises:
        UsageError: The variable is unset and the user has no home folder.
    """
    return data_folder("AUBENCH_STORES", "stores")


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
        keys = list(zip(self.frames["subject"], self.frames["sequence"], strict=True))
        order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        return np.array([order[key] for key in keys]), self.frames["row"].to_numpy(), list(order)

    @cached_property
    def _open(self) -> dict[tuple[str, ...], np.ndarray]:
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
                if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
                    raise DataError("too many files are open", where=path, hint="raise `ulimit -n`") from error
                raise DataError(f"cannot be read ({error})", where=path, hint=_REMAKE) from error
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
        expected = _expected_arrays(self.info, self.frames)
        if full:
            self._check_origin()
            self._check_tables()
        for name in expected.keys() - self.info.arrays.keys():
            raise DataError("is missing from the store", where=self.path / name, hint=_REMAKE)
        if full:
            self._check_no_others()
        stamp = self.path / _STAMP
        verified = {} if full else _read_stamp(stamp)
        current: dict[str, list[int]] = {}
        for done, (name, digest) in enumerate(self.info.arrays.items()):
            progress(done, len(self.info.arrays))
            path = self.path / name
            if not path.is_file():
                raise DataError("is missing from the store", where=path, hint=_REMAKE)
            status = path.stat()
            current[name] = [status.st_size, status.st_mtime_ns]
            if verified.get(name) == current[name]:
                continue
            if hashing.hash_file(path) != digest:
                raise DataError("has changed since the store was made", where=path, hint=_REMAKE)
            if name in expected:
                check_array(path, *expected[name], hint=_REMAKE)
        progress(len(self.info.arrays), len(self.info.arrays))
        if current != verified:
            _write_stamp(stamp, current)

    def _check_origin(self) -> None:
        path = self.path / "sequences.csv"
        try:
            notes = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read ({error})", where=path, hint=_REMAKE) from None
        if "origin" in notes and notes["origin"].nunique(dropna=False) > 1:
            raise DataError("its sequences have several sources or options", where=path, hint=_REMAKE)

    def _check_tables(self) -> None:
        for name, digest in (self.info.tables or {}).items():
            path = self.path / name
            if not path.is_file():
                raise DataError("is missing from the store", where=path, hint=_REMAKE)
            if hashing.hash_file(path) != digest:
                raise DataError("has changed since the store was made", where=path, hint=_REMAKE)

    def _check_no_others(self) -> None:
        for path in system_files.descendants(self.path / "arrays"):
            if path.is_file() and path.relative_to(self.path).as_posix() not in self.info.arrays:
                raise DataError("is not a file of this store", where=path, hint="remove it")


_REMAKE = "delete the store and make it again with `aubench data prepare`"


def read_info(path: Path) -> StoreInfo:
    """Read ``store.json`` of a store.

    Raises:
        DataError: There is no store, or the file is damaged or of another version.
    """
    file = path / "store.json"
    try:
        info = StoreInfo.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise DataError("no store here", where=path, hint="make one with `aubench data prepare`") from None
    except ValidationError as error:
        newer = [e["input"] for e in error.errors() if e["loc"] == ("schema_version",)]
        if newer:
            hint = f"install the newest version of aubench, or {_REMAKE}"
            raise DataError(f"has the format {newer[0]}, not {SCHEMA}", where=file, hint=hint) from None
        first = error.errors()[0]
        raise DataError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=file, hint=_REMAKE) from None
    if info.computed_digest() != info.digest:
        raise DataError("does not match its own digest", where=file, hint=_REMAKE)
    return info


def _read_frames(path: Path, info: StoreInfo) -> pd.DataFrame:
    file = path / "frames.parquet"
    try:
        frames = pd.read_parquet(io.BytesIO(file.read_bytes()))  # pyarrow opens only paths in UTF-8
    except ImportError:  # pyarrow is missing
        raise
    except Exception as error:  # pyarrow raises many types for a damaged file
        raise DataError(f"cannot be read ({type(error).__name__})", where=file, hint=_REMAKE) from None
    if table_digest(frames) != info.frames:
        raise DataError("has changed since the store was made", where=file, hint=_REMAKE)
    return frames


def _read_stamp(path: Path) -> dict[str, list[int]]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _write_stamp(path: Path, content: dict[str, list[int]]) -> None:
    with contextlib.suppress(OSError):  # a read-only store is verified each time
        atomic.write_json(path, content)
