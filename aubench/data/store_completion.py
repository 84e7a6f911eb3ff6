"""Completion of partial stores: joined tables of all sequences, ``store.json``, and the move to the store's path."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from aubench._util import atomic
from aubench.core import hashing, system_files
from aubench.core.errors import DataError
from aubench.data import partial_store, store_files
from aubench.data.array_file import check_array
from aubench.data.store_format import (
    CROP_COLUMNS,
    FRAME_COLUMNS,
    REMAKE_HINT,
    LabelKind,
    StoreInfo,
    expected_arrays,
)

Parts = Mapping[Path, dict[str, Any]]
"""Contents of the files of the finished sequences, in the order of the store."""


def read_parts(partial: Path, origin: str) -> Parts:
    """Read the files of all finished sequences.

    Args:
        partial: Folder of the partial store.
        origin: Digest of the plan, which all sequences must have.

    Raises:
        DataError: A sequence comes from another source.
    """
    parts = {part: json.loads(part.read_text(encoding="utf-8")) for part in partial_store.finished_parts(partial)}
    for part, summary in parts.items():
        if summary.get("origin") != origin:
            hint = f"delete {partial} and repeat the command"
            raise DataError("was prepared with other options or from another source", where=part, hint=hint)
    return parts


def join_frames(
    partial: Path, parts: Parts, labels: LabelKind, skipped: Iterable[tuple[str, str, int, str]]
) -> pd.DataFrame:
    """Join the tables of frames, and write ``skipped.csv``.

    Args:
        partial: Folder of the partial store.
        parts: Finished sequences.
        labels: Kind of the labels.
        skipped: Further rows of ``skipped.csv``.

    Returns:
        Table with the columns and types of ``frames.parquet``.

    Raises:
        DataError: No sequence has a frame, or a label is not of the kind.
    """
    summaries = parts.values()
    rows = [*skipped, *((s["subject"], s["sequence"], *row) for s in summaries for row in s["skipped"])]
    skipped_table = pd.DataFrame(rows, columns=["subject", "sequence", "frame", "reason"])
    _write_csv(partial / store_files.SKIPPED, skipped_table)
    if not any(summary["arrays"] for summary in summaries):
        raise _no_frame(skipped_table["reason"], partial)
    # Open files, because pyarrow opens only paths in UTF-8.
    tables = [io.BytesIO(part.with_suffix(".parquet").read_bytes()) for part in parts]
    table = pd.concat(map(pd.read_parquet, tables), ignore_index=True)
    _check_labels(table, labels, partial)
    return _typed(table)


def array_digests(parts: Parts) -> dict[str, str]:
    """Return the SHA-256 of each array by its path in the store."""
    return {name: sha for summary in parts.values() for name, sha in sorted(summary["arrays"].items())}


def write_tables(partial: Path, parts: Parts, info: StoreInfo, frames: pd.DataFrame) -> None:
    """Write ``frames.parquet``, ``sequences.csv`` and ``store.json``, and remove files that are not of the store.

    Args:
        partial: Folder of the partial store.
        parts: Finished sequences.
        info: Content of ``store.json`` without the digests of the tables.
        frames: Table of :func:`join_frames`.

    Raises:
        DataError: An array has another size.
    """
    for name, (dtype, shape) in expected_arrays(info, frames).items():
        check_array(partial / name, dtype, shape, hint=REMAKE_HINT)
    with atomic.atomic_write(partial / store_files.FRAMES) as file:
        frames.to_parquet(file, index=False)
    notes = [
        {"subject": s["subject"], "sequence": s["sequence"], **s["notes"], "origin": s["origin"]}
        for s in parts.values()
    ]
    _write_csv(partial / store_files.SEQUENCES, pd.DataFrame(notes))
    digests = {name: hashing.hash_file(partial / name) for name in store_files.TABLES}
    info = info.model_copy(update={"tables": digests})
    atomic.write_text(partial / store_files.INFO, info.model_dump_json(indent=2, exclude_none=True) + "\n")
    _remove_remnants(partial, info)


def move(partial: Path, path: Path) -> None:
    """Move a store with all files to its path, and remove the files of the partial store."""
    for entry in path.iterdir() if path.exists() else ():  # only system files are there
        shutil.rmtree(partial / entry.name, ignore_errors=True)
        entry.replace(partial / entry.name)
    partial.replace(path)  # complete from here on
    shutil.rmtree(path / "parts")
    (path / store_files.PLAN).unlink()


def _remove_remnants(partial: Path, info: StoreInfo) -> None:
    """Remove temporary files of killed processes, and arrays of sequences that were discarded."""
    for file in list(partial.rglob(".*.tmp")):
        file.unlink()
    for folder in system_files.children(partial / "arrays"):
        for file in system_files.children(folder):
            if str(file.relative_to(partial)) not in info.arrays:
                file.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def _no_frame(reasons: pd.Series[str], partial: Path) -> DataError:
    """Create the error of a store without a frame, with the most frequent reason."""
    what = "not one frame could be used"
    if not len(reasons):
        return DataError(f"{what}, because there is none", where=partial, hint="check that the source is complete")
    counts = reasons.value_counts()
    what = f"{what}: {counts.index[0]} ({counts.iloc[0]} of {len(reasons)} entries in {store_files.SKIPPED})"
    return DataError(what, where=partial, hint="check the source, or delete the folder and change the options")


def _check_labels(frames: pd.DataFrame, kind: LabelKind, folder: Path) -> None:
    highest = 1 if kind == "occurrence" else 5
    for name in frames.columns[frames.columns.str.startswith("AU")]:
        wrong = frames[~frames[name].isin(range(-1, highest + 1))]
        if len(wrong):
            first = wrong.iloc[0]
            what = f"{name} of {first['subject']} {first['sequence']} frame {first['frame']} is {first[name]}"
            hint = "correct the reader, delete the folder and repeat the command"
            raise DataError(f"{what}, and labels of {kind} are 0 to {highest} or -1", where=folder, hint=hint)


def _typed(frames: pd.DataFrame) -> pd.DataFrame:
    crop = {name: kind for name, kind in CROP_COLUMNS.items() if name in frames}
    labels = {name: "int8" for name in frames.columns if name.startswith("AU")}
    types = {**FRAME_COLUMNS, **crop, **labels}
    return frames[[*types]].astype(types)


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    atomic.write_text(path, table.to_csv(index=False))
