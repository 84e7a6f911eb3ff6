"""Record of a run for the leaderboard: counts and provenance, no pixels, no weights.

A record is a folder with these files::

    record.json      provenance (:mod:`aubench.results.record_info`)
    counts.csv       confusion counts per condition, fold, subject and AU (:mod:`aubench.results.counts`)
    histograms.csv   predicted probabilities per condition, fold, AU and label (:mod:`aubench.results.histograms`)
    epochs.csv       learning curves (:mod:`aubench.results.epochs`); earlier versions wrote none

Records are untrusted input: tables have bounds, and all scores are computed from counts and histograms.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.errors import RecordError
from aubench.results import counts, csv_io, epochs, histograms, record_info
from aubench.results.csv_io import CsvTable
from aubench.results.record_info import SCHEMA, RecordInfo
from aubench.results.schema import TableDigests

FILE = record_info.FILE
FILES = (FILE, counts.FILE, histograms.FILE)
"""Names of the files that every record has."""
ALL_FILES = (*FILES, epochs.FILE)
TABLE_FILES = {"counts": counts.FILE, "histograms": histograms.FILE, "epochs": epochs.FILE}
"""File name of each table in ``tables`` of ``record.json``."""

_LIMIT = 256 * 2**10


@dataclass(frozen=True, eq=False)
class Record:
    """Record of a run; :func:`aubench.metrics.scores.summary_of` computes its scores.

    Attributes:
        info: Content of ``record.json``.
        counts: Confusion counts, see :mod:`aubench.results.counts`.
        histograms: Histograms of predicted probability, see :mod:`aubench.results.histograms`.
        epochs: Learning curves, see :mod:`aubench.results.epochs`; None if the record has none.
        file_digests: SHA-256 of the files that it was read from, by name; None if it was made from data.
    """

    info: RecordInfo
    counts: pd.DataFrame
    histograms: pd.DataFrame
    epochs: pd.DataFrame | None = None
    file_digests: dict[str, str] | None = field(init=False, default=None)

    @cached_property
    def count_table(self) -> CsvTable:
        """``counts`` without a data frame."""
        return CsvTable.from_dataframe(self.counts[[*counts.KEY, *counts.CELLS]], counts.KEY.index("au"))

    @cached_property
    def histogram_table(self) -> CsvTable:
        """``histograms`` without a data frame."""
        return CsvTable.from_dataframe(self.histograms, histograms.KEY.index("fold"))

    @cached_property
    def epoch_table(self) -> CsvTable | None:
        """``epochs`` without a data frame."""
        return None if self.epochs is None else CsvTable.from_dataframe(self.epochs, self.epochs.shape[1])

    @staticmethod
    def create(
        fields: dict[str, Any],
        counts_table: pd.DataFrame,
        histograms_table: pd.DataFrame,
        epochs_table: pd.DataFrame | None = None,
    ) -> Record:
        """Create a record of the current schema.

        Args:
            fields: Content of ``record.json`` without ``schema_version`` and ``tables``.
            counts_table: Confusion counts.
            histograms_table: Histograms of predicted probability.
            epochs_table: Learning curves.

        Raises:
            RecordError: As :meth:`RecordInfo.parse`, or a table is malformed.
        """
        curves = None if epochs_table is None else epochs.canonical(epochs_table)
        tables = counts.canonical(counts_table), histograms.canonical(histograms_table), curves
        return Record(
            RecordInfo.from_fields({"schema_version": SCHEMA, **fields, "tables": _digests(*tables)}), *tables
        )

    @property
    def relative_path(self) -> Path:
        """Folder relative to ``leaderboard/records``: protocol, method, run."""
        return Path(self.info.protocol.name, self.info.method.name, self.info.run)

    def table_digests(self) -> TableDigests:
        """Return the SHA-256 of each table as a file. A file that was read is canonical, so its digest is known."""
        if self.file_digests is None:
            return TableDigests(**_digests(self.counts, self.histograms, self.epochs))
        known = self.file_digests
        return TableDigests(**{name: known[file] for name, file in TABLE_FILES.items() if file in known})

    def write(self, folder: Path) -> None:
        """Write the files into ``folder``, ``record.json`` last; equal records give equal bytes.

        In schema 2, ``record.json`` gets the digests of the tables as written. The caller holds the lock of the run or
        of the leaderboard.
        """
        atomic.remove_unfinished_files(folder)
        counts.write(self.counts, folder)
        histograms.write(self.histograms, folder)
        if self.epochs is None:
            (folder / epochs.FILE).unlink(missing_ok=True)
        else:
            epochs.write(self.epochs, folder)
        fields = self.info.model_dump(mode="json")
        if "tables" in fields:
            present = {name: folder / file for name, file in TABLE_FILES.items() if (folder / file).exists()}
            fields["tables"] = {name: hashing.hash_file(path) for name, path in present.items()}
        atomic.write_json(folder / FILE, fields)


class _LazyRecord(Record):
    """Record in a folder whose tables and their data frames are made on first use, except those that are given."""

    def __init__(self, info: RecordInfo, folder: Path, **known: Any) -> None:
        self.__dict__.update(info=info, folder=folder, **known)

    @cached_property
    def count_table(self) -> CsvTable:
        return counts.load(self.__dict__["folder"])

    @cached_property
    def histogram_table(self) -> CsvTable:
        return histograms.load(self.__dict__["folder"])

    @cached_property
    def epoch_table(self) -> CsvTable | None:
        return load_epochs(self.__dict__["folder"], self.info)

    @cached_property
    def counts(self) -> pd.DataFrame:
        return self.count_table.to_dataframe()

    @cached_property
    def histograms(self) -> pd.DataFrame:
        return self.histogram_table.to_dataframe()

    @cached_property
    def epochs(self) -> pd.DataFrame | None:
        return None if self.epoch_table is None else self.epoch_table.to_dataframe()


def of_verified(info: RecordInfo, folder: Path) -> Record:
    """Return the record of a folder, whose tables are read on first use."""
    return _LazyRecord(info, folder)


def read(folder: Path) -> Record:
    """Read a record; its files are untrusted.

    Raises:
        RecordError: A file is missing, too large or malformed. The error names the file and the field.
    """
    path = folder / FILE
    content = csv_io.read_bounded(path, _LIMIT)
    info = RecordInfo.parse(content, where=path)
    if content != atomic.json_text(info.model_dump(mode="json")).encode():
        raise RecordError(_not_canonical(content), where=path)
    tables = counts.load(folder), histograms.load(folder), load_epochs(folder, info)
    files = zip(ALL_FILES[1:], tables, strict=True)
    digests = {FILE: hashlib.sha256(content).hexdigest(), **{name: table.digest for name, table in files if table}}
    names = ("count_table", "histogram_table", "epoch_table")
    return _LazyRecord(info, folder, file_digests=digests, **dict(zip(names, tables, strict=True)))


def _not_canonical(content: bytes) -> str:
    """Describe the difference from the bytes that :meth:`Record.write` writes."""
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        repeated.extend(name for name in names if names.count(name) > 1)
        return dict(pairs)

    json.loads(content, object_pairs_hook=collect)
    if repeated:
        return f"{repeated[0]}: occurs twice"
    return (
        "its bytes are not those that aubench writes: spacing, order of fields, or the form of a number or text differs"
    )


def load_epochs(folder: Path, info: RecordInfo) -> CsvTable | None:
    """Read the learning curves of a record; None if it has none.

    Raises:
        RecordError: The file is malformed, or ``record.json`` does not list it.
    """
    if info.tables is not None and info.tables.epochs is not None:
        return epochs.load(folder)
    if os.path.lexists(folder / epochs.FILE):
        raise RecordError(f"has no digest in {FILE}", where=folder / epochs.FILE)
    return None


def _digests(
    counts_table: pd.DataFrame, histograms_table: pd.DataFrame, epochs_table: pd.DataFrame | None
) -> dict[str, str]:
    """Compute the SHA-256 of tables in canonical form as files."""
    texts = {"counts": csv_io.table_text(counts_table), "histograms": csv_io.table_text(histograms_table)}
    if epochs_table is not None:
        texts["epochs"] = epochs.to_text(epochs_table)
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
