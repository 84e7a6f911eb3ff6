"""Records with their folders, and those of a leaderboard."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from aubench.core import hashing, system_files
from aubench.core.errors import DataError, RecordError, one_line
from aubench.leaderboard.curve_points import LearningCurve, curves_of
from aubench.metrics import scores
from aubench.metrics.functions import Ints
from aubench.metrics.resampling import ResampledRun, resample_cells
from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file
from aubench.results import record as record_file
from aubench.results.csv_io import CsvTable
from aubench.results.record import Record
from aubench.results.record_info import RecordInfo
from aubench.results.schema import INITIALISATION

RECORDS = "records"
LOCK = ".lock"
"""File that is locked while records are added and pages are built."""
STAGING = ".adding."
"""First part of the names of temporary folders, which a killed process leaves behind."""
REPORTED = "reported"
"""Folder with the tables of papers."""
VARIANTS = "variants"
"""Nested leaderboard for runs with the changed recipes that tables of papers need."""
REPRODUCED = "reproduced"
"""Folder with tables and figures of papers as written by ``aubench reproduce``."""
REPRODUCTIONS = "reproductions"
"""Folder with repetitions of runs by others."""
FEWEST_DISTINCT_COUNTS = 30
"""Fewest pairs of subject and AU, with predictions neither constant nor all right, that only copies share."""
DEPTH = 3
"""Levels of the folder of a record under ``records``: protocol, method, run."""


@dataclass(frozen=True)
class Finding:
    """Problem in a leaderboard.

    Attributes:
        path: File or folder with the problem.
        what: Field and description of the problem.
    """

    path: Path
    what: str

    def __str__(self) -> str:
        return one_line(f"{self.path}: {self.what}")


def raise_first(findings: Iterable[Finding], hint: str | None = None) -> None:
    """Raise the first finding as an error.

    Raises:
        RecordError: There is a finding.
    """
    for finding in findings:
        raise RecordError(finding.what, where=finding.path, hint=hint)


def require_folder(root: Path, hint: str) -> None:
    """Check that a leaderboard exists.

    Raises:
        DataError: There is no folder.
    """
    if not root.is_dir():
        raise DataError("no leaderboard here", where=root, hint=hint)


@dataclass(frozen=True)
class StoredRecord:
    """Record and the folder that contains it."""

    folder: Path
    record: Record

    @property
    def info(self) -> RecordInfo:
        """Content of ``record.json``."""
        return self.record.info

    @property
    def is_complete(self) -> bool:
        """Whether all folds of the protocol were run."""
        return len(self.info.folds) == self.info.protocol.fold_count

    @cached_property
    def cells(self) -> dict[str, Ints]:
        """Counts of complete tables by condition, of the subjects of all folds in turn, and AUs (S, A, 4)."""
        return self._by_condition(self.record.count_table, len(counts_file.CELLS))

    @cached_property
    def bins(self) -> dict[str, Ints]:
        """Histograms of complete tables by condition, of each fold (F, A, 2, 200), with AUs ascending."""
        shape = len(self.info.folds), -1, 2, histograms_file.BINS
        by_condition = self._by_condition(self.record.histogram_table, histograms_file.BINS)
        return {name: values.reshape(shape) for name, values in by_condition.items()}

    def _by_condition(self, table: CsvTable, count: int) -> dict[str, Ints]:
        """Split the last ``count`` columns of a table, which is sorted by condition, into (rows / A, A, count)."""
        rows, shape = table.column("condition"), (-1, len(self.info.protocol.aus), count)
        parts = {
            name: slice(bisect_left(rows, name), bisect_right(rows, name)) for name in sorted(self.info.conditions)
        }
        return {name: table.cells[part, -count:].reshape(shape) for name, part in parts.items()}

    def by_fold(self, values: Ints) -> list[Ints]:
        """Split values of the subjects of all folds in turn."""
        return np.split(values, np.cumsum([len(fold.test) for fold in self.info.folds])[:-1])

    @cached_property
    def summary(self) -> scores.Summary:
        """Scores under the clean condition."""
        return scores.summarize_cells(self._totals(counts_file.CLEAN), self.bins[counts_file.CLEAN])

    @cached_property
    def labels(self) -> str:
        """Digest of the test labels."""
        keys = (key for name, *key in self.record.count_table.rows(counts_file.KEY) if name == counts_file.CLEAN)
        tp, fp, fn, tn = self.cells[counts_file.CLEAN].reshape(-1, len(counts_file.CELLS)).T
        labels = zip(keys, (tp + fn).tolist(), (fp + tn).tolist(), strict=True)
        return hashing.hash_json([(*key, positive, negative) for key, positive, negative in labels])

    @cached_property
    def predictions(self) -> tuple[str, ...]:
        """Digest of the clean predictions of each fold."""
        parts = zip(self.by_fold(self.cells[counts_file.CLEAN]), self.bins[counts_file.CLEAN], strict=True)
        return tuple(hashlib.sha256(cells.tobytes() + bins.tobytes()).hexdigest() for cells, bins in parts)

    @cached_property
    def count_digests(self) -> tuple[str | None, ...]:
        """Digest of the clean confusion counts of each fold; None where two methods may have the same counts.

        Counts of a subject and an AU distinguish methods if the predictions are neither constant nor all right.
        """
        folds = self.by_fold(self.cells[counts_file.CLEAN])
        return tuple(hashlib.sha256(cells.tobytes()).hexdigest() if _is_distinct(cells) else None for cells in folds)

    @cached_property
    def condition_f1(self) -> dict[str, float]:
        """Headline F1 under each test condition."""
        return {name: scores.macro_mean(scores.f1(self._totals(name).cells)) for name in self.info.conditions}

    @cached_property
    def resampled(self) -> ResampledRun:
        """F1 under the clean condition without each subject, and averaged over draws of subjects."""
        subjects = tuple((fold.fold, tuple(sorted(fold.test))) for fold in self.info.folds)
        return resample_cells(subjects, self._aus, self.by_fold(self.cells[counts_file.CLEAN]))

    @cached_property
    def curves(self) -> tuple[LearningCurve, ...]:
        """Learning curve of each fold; none without a table of epochs."""
        return curves_of(self.record.epoch_table)

    @property
    def _aus(self) -> tuple[int, ...]:
        return tuple(sorted(self.info.protocol.aus))

    def _totals(self, condition: str) -> scores.ConfusionCounts:
        cells = np.stack([part.sum(axis=0) for part in self.by_fold(self.cells[condition])])
        return scores.ConfusionCounts(tuple(fold.fold for fold in self.info.folds), self._aus, cells)

    @property
    def frames(self) -> float | None:
        """Frames of supervised training per fold; None without learning curves."""
        return sum(curve.budget for curve in self.curves) / len(self.curves) if self.curves else None

    @property
    def pretraining_frames(self) -> float | None:
        """Frames of the run's own pre-training per fold; None if the record does not state them."""
        if self.info.is_submitted:
            return None
        frames = [item.frames for item in self.info.pretraining if item.stage != INITIALISATION]
        return None if None in frames else sum(filter(None, frames)) / len(self.info.folds)

    def finding(self, file: str, what: str) -> Finding:
        """Create a finding about one of the files."""
        return Finding(self.folder / file, what)


def _is_distinct(cells: Ints) -> bool:
    tp, fp, fn, tn = np.moveaxis(cells, -1, 0)
    return bool(((fp + fn > 0) & (tp + fp > 0) & (fn + tn > 0)).sum() >= FEWEST_DISTINCT_COUNTS)


def read_records(root: Path) -> tuple[list[StoredRecord], list[Finding]]:
    """Read all records of a leaderboard, under ``root/records``, sorted by path.

    Returns:
        Readable records, and a finding for each unreadable record and each stray file.
    """
    folders, findings = record_folders(root)
    runs = []
    for folder in folders:
        try:
            runs.append(StoredRecord(folder, record_file.read(folder)))
        except RecordError as error:
            findings.append(Finding(Path(str(error.where)), error.what))
    return runs, findings


def record_folders(root: Path) -> tuple[list[Path], list[Finding]]:
    """List the record folders under ``root/records``, sorted, and a finding for each stray file."""
    findings: list[Finding] = []
    folders = list(_run_folders(root / RECORDS, DEPTH, findings))
    for folder in folders:
        with os.scandir(folder) as entries:
            stray = sorted({entry.name for entry in entries}.difference(record_file.ALL_FILES))
        names = [name for name in stray if not system_files.is_system_file(name)]
        findings += [Finding(folder / name, "is no file of a record") for name in names]
    return folders, findings


def _run_folders(folder: Path, depth: int, findings: list[Finding]) -> Iterator[Path]:
    if depth == 0:
        yield folder
        return
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if system_files.is_system_file(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _run_folders(folder / entry.name, depth - 1, findings)
            else:
                problem = "does not belong here; the path of a record is <protocol>/<method>/<run>/"
                findings.append(Finding(folder / entry.name, problem))
