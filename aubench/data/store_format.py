"""Format of a store: columns of its tables, paths of its arrays, and the content of ``store.json``."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from aubench.core import hashing
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.core.value_problems import problem
from aubench.data import store_files

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

CROP_COLUMNS = {
    "crop_source": "str",  # source of the crop: landmarks, mesh, detector, flow, or neighbours in time
    "crop_score": "int8",  # 0 to 100: how well the position of the face is known
}
"""Further columns, of stores whose crops were detected."""

LANDMARKS = "landmarks"
"""Kind of an array of landmarks, instead of a modality."""

LabelKind = Literal["occurrence", "intensity"]
"""Meaning of the labels: 0 and 1, or intensities 0 to 5; -1 is unknown in both."""

REMAKE_HINT = "delete the store and make it again with `aubench data prepare`"
"""Hint of errors of damaged stores."""


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
            digest.update("\n".join(column.tolist()).encode())  # a list, as iterating over the column is slow
        else:
            digest.update(column.to_numpy(np.int64).tobytes())
    return digest.hexdigest()


def expected_arrays(info: StoreInfo, frames: pd.DataFrame) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of the arrays of all sequences, by path."""
    size = info.size
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    keys = zip(frames["subject"].tolist(), frames["sequence"].tolist(), strict=True)
    for (subject, sequence), count in Counter(keys).items():
        for modality in info.modalities:
            expected[array_path(subject, sequence, modality)] = "uint8", (count, size, size, modality.channels)
        if info.landmarks:
            expected[array_path(subject, sequence, LANDMARKS)] = "float32", (count, info.landmarks, 2)
    return expected


def read_info(path: Path) -> StoreInfo:
    """Read ``store.json`` of a store.

    Raises:
        DataError: There is no store, or the file is damaged or of another version.
    """
    file = path / store_files.INFO
    try:
        info = StoreInfo.model_validate_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("no store here", where=path, hint="make one with `aubench data prepare`") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=file, hint="check its permissions") from None
    except ValidationError as error:
        newer = [e["input"] for e in error.errors() if e["loc"] == ("schema_version",)]
        if newer:
            hint = f"install the newest version of aubench, or {REMAKE_HINT}"
            raise DataError(f"has the format {newer[0]}, not {SCHEMA}", where=file, hint=hint) from None
        first = error.errors()[0]
        what = ": ".join(filter(None, (".".join(map(str, first["loc"])), problem(first))))
        raise DataError(what, where=file, hint=REMAKE_HINT) from None
    if info.computed_digest() != info.digest:
        raise DataError("does not match its own digest", where=file, hint=REMAKE_HINT)
    return info
