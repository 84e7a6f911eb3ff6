"""Writing a store: sequence by sequence, in any order, by any number of processes, resumable."""

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
    """One sequence, ready for the store.

    Attributes:
        subject: The person.
        sequence: The recorded task.
        images: uint8 (F, H, W, C) by modality.
        frames: F rows: ``frame``, ``source``, ``labelled``, ``missing`` and the ``AU<n>`` columns.
        landmarks: float32 (F, L, 2) as :meth:`Store.landmarks` gives them; all sequences of a store have them, or none.
        skipped: What was left out: (frame number, reason).
        notes: Counts and choices that the closing table sums up, by name.
    """

    subject: str
    sequence: str
    images: Mapping[Modality, np.ndarray]
    frames: pd.DataFrame
    landmarks: np.ndarray | None = None
    skipped: list[tuple[int, str]] = field(default_factory=list)
    notes: dict[str, int | str] = field(default_factory=dict)


class StoreWriter:
    """A store in the making, in ``<path>.partial`` until it is whole.

    Args:
        path: Where the store shall be.
        plan: All that decides its bytes (source, size, options). Going on with a half-made store needs
            the same plan.

    Raises:
        DataError: A store is there already, or a half-made one with another plan.
    """

    def __init__(self, path: Path, plan: Mapping[str, object]) -> None:
        self.path, self.partial = path, path.with_name(path.name + ".partial")
        if (path / "store.json").exists():
            raise DataError("a store is here already", where=path, hint="delete it first, or choose another --store")
        if path.exists() and (not path.is_dir() or path.is_mount() or any(path.iterdir())):
            raise DataError("is not an empty folder", where=path, hint="name one inside it with --store")
        there = self.partial / "plan.json"
        if there.exists() and json.loads(there.read_text()) != json.loads(json.dumps(plan)):
            raise DataError("was begun with other options", where=self.partial, hint="delete it, or repeat its options")
        atomic.write_json(there, plan)

    def has(self, subject: str, sequence: str) -> bool:
        """Whether this sequence is written already."""
        return self._partial_path(subject, sequence).exists()

    def add(self, item: Sequence) -> None:
        """Write one sequence; safe to call from several processes for different sequences."""
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
        said = {
            "subject": item.subject,
            "sequence": item.sequence,
            "arrays": arrays,
            "skipped": item.skipped,
            "notes": item.notes,
        }
        atomic.write_json(part, said)

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
        """Put the parts together and move the store to its place; see :class:`StoreInfo` for what it is told.

        Returns:
            The store, opened.

        Raises:
            DataError: Not one sequence was written.
        """
        parts = sorted((self.partial / "parts").glob("*.json"), key=_natural)
        said = [json.loads(part.read_text()) for part in parts]
        if not any(one["arrays"] for one in said):
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
            arrays={name: sha for one in said for name, sha in sorted(one["arrays"].items())},
            frames=table_digest(frames),
        )
        with atomic.atomic_write(self.partial / "frames.parquet") as file:
            frames.to_parquet(file, index=False)
        skipped = [(one["subject"], one["sequence"], *row) for one in said for row in one["skipped"]]
        notes = [{"subject": one["subject"], "sequence": one["sequence"], **one["notes"]} for one in said]
        _write_csv(
            self.partial / "skipped.csv", pd.DataFrame(skipped, columns=["subject", "sequence", "frame", "reason"])
        )
        _write_csv(self.partial / "sequences.csv", pd.DataFrame(notes))
        atomic.write_text(self.partial / "store.json", info.model_dump_json(indent=2, exclude_none=True) + "\n")
        for left in self.partial.rglob(".*.tmp"):  # by a process that was killed while writing
            left.unlink()
        self.partial.replace(self.path)  # whole from here on: what is no longer needed goes last
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
