"""Values of a record that other records are compared with.

They are small, so a leaderboard of thousands of records is compared without the content of its records in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aubench.core import hashing
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.leaderboard.verify import row_key, run_key
from aubench.results.record_info import EXTERNAL_SOURCES

_STOPPING_FIELDS = {"epochs", "patience"}
"""Recipe fields that can change without any effect on the scored weights."""


class FoldKeys(NamedTuple):
    """Values of a fold: its number, digests of its clean predictions and their counts, and that of its checkpoint."""

    fold: int
    predictions: str
    counts: str | None
    checkpoint: str | None


class RecordKeys(NamedTuple):
    """Values of a record without findings, as plain data.

    Attributes:
        protocol, method, run: Parts of its path.
        title, source, started: Title and origin of the method, and start of the run.
        selection, precision, seed, is_demo, is_complete: As in ``record.json``.
        protocol_version, protocol_digest: Protocol.
        dataset: Name, version and digest of the store.
        row, duplicate: :func:`aubench.leaderboard.verify.row_key` and :func:`aubench.leaderboard.verify.run_key`.
        recipe: Digest of the recipe without the fields that stop training.
        labels: Digest of the test labels.
        cost: Cost of the model as JSON; None if it is not known.
        f1: Headline F1.
        folds: Values of each fold.
        files: Names and SHA-256 of its files.
    """

    protocol: str
    method: str
    run: str
    title: str
    source: str | None
    started: str
    selection: str
    precision: str | None
    seed: int
    is_demo: bool
    is_complete: bool
    protocol_version: int
    protocol_digest: str
    dataset: tuple[str, str, str]
    row: str
    duplicate: str
    recipe: str
    labels: str
    cost: str | None
    f1: float
    folds: tuple[FoldKeys, ...]
    files: tuple[tuple[str, str], ...]

    @property
    def is_submitted(self) -> bool:
        """Whether predictions were submitted."""
        return self.source is None

    @property
    def is_external(self) -> bool:
        """Whether the run is of a method from outside this repository."""
        return self.source in EXTERNAL_SOURCES

    @property
    def path(self) -> tuple[str, str, str]:
        """Folder relative to ``records``."""
        return self.protocol, self.method, self.run


@dataclass(frozen=True)
class IndexedRecord:
    """Record of a leaderboard by its keys.

    Attributes:
        folder: Folder of the record.
        keys: Its values.
        stored: The record itself, if it was read.
    """

    folder: Path
    keys: RecordKeys
    stored: StoredRecord | None = None

    def finding(self, file: str, what: str) -> Finding:
        """Create a finding about one of the files."""
        return Finding(self.folder / file, what)


def keys_of(run: StoredRecord, files: tuple[tuple[str, str], ...] = ()) -> RecordKeys:
    """Compute the keys of a record without findings.

    Args:
        run: Record.
        files: Names and SHA-256 of its files.
    """
    info = run.info
    compute = info.compute.model_dump_json(exclude={"uncounted"}) if info.compute else None
    recipe = {name: value for name, value in info.recipe.items() if name not in _STOPPING_FIELDS}
    folds = zip(info.folds, run.predictions, run.count_digests, strict=True)
    return RecordKeys(
        protocol=info.protocol.name,
        method=info.method.name,
        run=info.run,
        title=info.method.title,
        source=info.method.source,
        started=info.time.started if info.time else "~",
        selection=info.selection,
        precision=info.device.precision if info.device else None,
        seed=info.seed,
        is_demo=info.is_demo,
        is_complete=run.is_complete,
        protocol_version=info.protocol.version,
        protocol_digest=info.protocol.digest,
        dataset=(info.dataset.name, info.dataset.version, info.dataset.digest),
        row=row_key(run),
        duplicate=run_key(run),
        recipe=hashing.hash_json(recipe),
        labels=run.labels,
        cost=compute,
        f1=run.summary.f1_mean,
        folds=tuple(FoldKeys(fold.fold, predictions, counts, fold.checkpoint) for fold, predictions, counts in folds),
        files=files,
    )


def decoded(content: list[object]) -> RecordKeys:
    """Convert JSON data of keys.

    Raises:
        TypeError, ValueError: The data are of something else.
    """
    keys = RecordKeys(*content)  # type: ignore[arg-type]
    name, version, digest = keys.dataset
    return keys._replace(
        dataset=(name, version, digest),
        folds=tuple(FoldKeys(*fold) for fold in keys.folds),
        files=tuple((name, digest) for name, digest in keys.files),
    )
