"""Records stored in a leaderboard folder or in folders of runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from aubench.core import hashing, system_files
from aubench.core.errors import DataError, RecordError
from aubench.leaderboard.curve_points import LearningCurve, curves_of
from aubench.metrics import scores
from aubench.metrics.resampling import ResampledRun, resample
from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file
from aubench.results import record as record_file
from aubench.results.record import Record, RecordInfo
from aubench.results.run_folder import RECORD_DIR, RUN_FILE
from aubench.results.schema import INITIALISATION

RECORDS = "records"
LOCK = ".lock"
"""File that is locked while records are added and pages are built."""
REPORTED = "reported"
"""Folder with the tables of papers."""
VARIANTS = "variants"
"""Nested leaderboard for runs with the changed recipes that tables of papers need."""
REPRODUCED = "reproduced"
"""Folder with tables and figures of papers as written by ``aubench reproduce``."""
_DEPTH = 3  # protocol, method, run


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
        return " ".join(f"{self.path}: {self.what}".split())


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
    def summary(self) -> scores.Summary:
        """Scores under the clean condition."""
        return scores.summary_of(self.record)

    @cached_property
    def labels(self) -> str:
        """Digest of the test labels."""
        return label_digest(self.record.counts)

    @cached_property
    def predictions(self) -> tuple[str, ...]:
        """Digest of the clean predictions of each fold. The tables must be complete."""
        return prediction_digests(self.record)

    @cached_property
    def condition_f1(self) -> dict[str, float]:
        """Headline F1 under each test condition besides ``clean``."""
        names = (name for name in self.info.conditions if name != counts_file.CLEAN)
        totals = ((name, scores.sum_over_subjects(self.record.counts, name)) for name in names)
        return {name: scores.macro_mean(scores.f1(total.cells)) for name, total in totals}

    @cached_property
    def resampled(self) -> ResampledRun:
        """F1 under the clean condition without each subject, and averaged over draws of subjects."""
        return resample(self.record.counts)

    @cached_property
    def curves(self) -> tuple[LearningCurve, ...]:
        """Learning curve of each fold; none without a table of epochs."""
        return curves_of(self.record.epochs)

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


def label_digest(counts: pd.DataFrame) -> str:
    """Compute a digest of the labels that the clean counts imply."""
    clean = counts[counts["condition"] == counts_file.CLEAN]
    key = (clean[name].tolist() for name in ("fold", "subject", "au"))
    tp, fp, fn, tn = counts_file.cells(clean).T
    return hashing.hash_json(list(zip(*key, (tp + fn).tolist(), (fp + tn).tolist(), strict=True)))


def prediction_digests(record: Record) -> tuple[str, ...]:
    """Compute a digest of the clean counts and histograms of each fold of a record with complete tables."""
    folds, aus = record.info.folds, len(record.info.protocol.aus)
    is_clean = (record.counts["condition"] == counts_file.CLEAN).to_numpy()
    counts = counts_file.cells(record.counts)[is_clean]
    is_clean = (record.histograms["condition"] == counts_file.CLEAN).to_numpy()
    bins = histograms_file.bins(record.histograms)[is_clean]
    ends = np.cumsum([len(fold.test) for fold in folds])[:-1] * aus
    parts = zip(np.split(counts, ends), np.split(bins, len(folds)), strict=True)
    return tuple(hashlib.sha256(cells.tobytes() + of_fold.tobytes()).hexdigest() for cells, of_fold in parts)


def read_records(root: Path) -> tuple[list[StoredRecord], list[Finding]]:
    """Read all records under ``root/records``, sorted by path.

    Args:
        root: Leaderboard folder.

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
    folders = list(_run_folders(root / RECORDS, _DEPTH, findings))
    for folder in folders:
        stray = [path for path in system_files.children(folder) if path.name not in record_file.ALL_FILES]
        findings += [Finding(path, "is no file of a record") for path in stray]
    return folders, findings


def find_finished_records(run: Path) -> tuple[list[StoredRecord], list[Finding]]:
    """Read the records of finished runs.

    Args:
        run: Run folder, its ``record`` folder, or a folder with runs at any depth.

    Returns:
        Records, and a finding for each skipped run: one without a record or with missing folds. A run given by its own
        folder may have missing folds.

    Raises:
        DataError: No finished run has a record.
        RecordError: A record cannot be read.
    """
    if not run.is_dir():
        raise DataError("no such folder", where=run, hint="give the folder of a finished run")
    for folder in (run, run / RECORD_DIR):
        if (folder / record_file.FILE).is_file():
            return [StoredRecord(folder, record_file.read(folder))], []
    run_dirs = [path.parent for path in system_files.descendants(run, RUN_FILE)]
    skipped = [Finding(folder, "has no record yet") for folder in run_dirs if not (folder / RECORD_DIR).is_dir()]
    finished = []
    for path in system_files.descendants(run, record_file.FILE):
        stored = StoredRecord(path.parent, record_file.read(path.parent))
        if stored.is_complete:
            finished.append(stored)
        else:
            folds = f"{len(stored.info.folds)} of {stored.info.protocol.fold_count} folds"
            skipped.append(Finding(path.parent, f"has {folds}; to include it, give its own folder"))
    if not finished:
        count = f", {len(skipped)} unfinished" if skipped else ""
        raise DataError(f"no record of a finished run here{count}", where=run, hint="give the folder of a finished run")
    return finished, skipped


def _run_folders(folder: Path, depth: int, findings: list[Finding]) -> Iterator[Path]:
    if depth == 0:
        yield folder
        return
    for path in system_files.children(folder):
        if path.is_dir() and not path.is_symlink():
            yield from _run_folders(path, depth - 1, findings)
        else:
            findings.append(Finding(path, "does not belong here; the path of a record is <protocol>/<method>/<run>/"))
