"""Resumable writer of stores: sequences in any order, from any number of processes."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store import FRAME_COLUMNS, LANDMARKS, Store, StoreInfo, array_path, table_digest


@dataclass(frozen=True)
class Sequence:
    """A sequence of the store.

    Attributes:
        subject: Name of the subject.
        sequence: Name of the recorded task.
        images: uint8 (F, H, W, C) by modality.
        frames: Table of F rows: ``frame``, ``source``, ``labelled``, ``missing`` and the ``AU<n>`` columns.
        landmarks: float32 (F, L, 2) as :meth:`Store.landmarks` returns them; for all sequences of a store or for none.
        skipped: Frame number and reason of each skipped frame or file.
        notes: Counts and choices for ``sequences.csv``, by name.
    """

    subject: str
    sequence: str
    images: Mapping[Modality, np.ndarray]
    frames: pd.DataFrame
    landmarks: np.ndarray | None = None
    skipped: list[tuple[int, str]] = field(default_factory=list)
    notes: dict[str, int | str] = field(default_factory=dict)


class StoreWriter:
    """Writer of a store, in ``<path>.partial`` until it is complete.

    Args:
        path: Folder of the new store.
        plan: Settings that decide its bytes (source, size, options). A partial store is resumed with the same plan.

    Raises:
        DataError: A store exists already, or a partial one with another plan.
    """

    def __init__(self, path: Path, plan: Mapping[str, object]) -> None:
        self.path, self.partial = path, path.with_name(path.name + ".partial")
        if (path / "store.json").exists():
            raise DataError("a store is here already", where=path, hint="delete it first, or choose another --store")
        if path.exists() and (not path.is_dir() or path.is_mount() or any(path.iterdir())):
            raise DataError("is not an empty folder", where=path, hint="name one inside it with --store")
        plan_path = self.partial / "plan.json"
        if plan_path.exists() and json.loads(plan_path.read_text()) != json.loads(json.dumps(plan)):
            raise DataError("was begun with other options", where=self.partial, hint="delete it, or repeat its options")
        atomic.write_json(plan_path, plan)

    def has(self, subject: str, sequence: str) -> bool:
        """Return whether this sequence is written already."""
        return self._partial_path(subject, sequence).exists()

    def add(self, item: Sequence) -> None:
        """Write a sequence; safe to call from several processes for different sequences."""
        kinds: dict[str, np.ndarray] = {m: np.ascontiguousarray(x, np.uint8) for m, x in item.images.items()}
        if item.landmarks is not None:
            kinds[LANDMARKS] = np.ascontiguousarray(item.landmarks, np.float32)
        arrays = {}
        for kind, values in kinds.items():
            name = array_path(item.subject, item.sequence, kind)
            buffer = io.BytesIO()
            np.save(buffer, values, allow_pickle=False)
            atomic.write_bytes(self.partial / name, buffer.getbuffer())
            arrays[name] = hashing.hash_file(self.partial / name)
        frames = item.frames.assign(subject=item.subject, sequence=item.sequence, row=np.arange(len(item.frames)))
        part = self._partial_path(item.subject, item.sequence)
        with atomic.atomic_write(part.with_suffix(".parquet")) as file:
            frames.to_parquet(file, index=False)
        summary = {
            "subject": item.subject,
            "sequence": item.sequence,
            "arrays": arrays,
            "skipped": item.skipped,
            "notes": item.notes,
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
    ) -> Store:
        """Join the sequences and move the store to its path; see :class:`StoreInfo` for the arguments.

        Returns:
            Store.

        Raises:
            DataError: No sequence was written.
        """
        parts = sorted((self.partial / "parts").glob("*.json"), key=_natural)
        summaries = [json.loads(part.read_text()) for part in parts]
        if not any(summary["arrays"] for summary in summaries):
            raise DataError(
                "not one frame could be used", where=self.partial, hint="check that --source is the delivered tree"
            )
        frames = _typed(pd.concat([pd.read_parquet(part.with_suffix(".parquet")) for part in parts], ignore_index=True))
        info = StoreInfo.with_digest(
            dataset=dataset,
            version=version,
            size=size,
            modalities=dict(modalities),
            crop=crop,
            landmarks=landmarks,
            arrays={name: sha for summary in summaries for name, sha in sorted(summary["arrays"].items())},
            frames=table_digest(frames),
        )
        with atomic.atomic_write(self.partial / "frames.parquet") as file:
            frames.to_parquet(file, index=False)
        skipped = [(s["subject"], s["sequence"], *row) for s in summaries for row in s["skipped"]]
        notes = [{"subject": s["subject"], "sequence": s["sequence"], **s["notes"]} for s in summaries]
        _write_csv(
            self.partial / "skipped.csv", pd.DataFrame(skipped, columns=["subject", "sequence", "frame", "reason"])
        )
        _write_csv(self.partial / "sequences.csv", pd.DataFrame(notes))
        atomic.write_text(self.partial / "store.json", info.model_dump_json(indent=2, exclude_none=True) + "\n")
        for remnant in self.partial.rglob(".*.tmp"):  # of a process that was killed while writing
            remnant.unlink()
        self.partial.replace(self.path)  # complete from here on
        shutil.rmtree(self.path / "parts")
        (self.path / "plan.json").unlink()
        return Store(self.path)

    def _partial_path(self, subject: str, sequence: str) -> Path:
        return self.partial / "parts" / f"{subject}_{sequence}.json"


def _natural(path: Path) -> list[object]:
    return [int(word) if word.isdigit() else word for word in re.split(r"(\d+)", path.stem)]


def _typed(frames: pd.DataFrame) -> pd.DataFrame:
    labels = {name: "int8" for name in frames.columns if name.startswith("AU")}
    return frames[[*FRAME_COLUMNS, *labels]].astype({**FRAME_COLUMNS, **labels})


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    atomic.write_text(path, table.to_csv(index=False))
