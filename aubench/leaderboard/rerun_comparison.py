"""Comparison of a repeated run with its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aubench.core import system_files
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.verify import row_key
from aubench.metrics import significance
from aubench.metrics.resampling import average, resample
from aubench.results import counts as counts_file
from aubench.results import record as record_file

Outcome = Literal["equal", "equal within noise", "different"]
_LEVEL = 0.95


@dataclass(frozen=True)
class Reproduction:
    """Result of repeating a run.

    Attributes:
        run: Record of the first run.
        again: Record of the repetition.
        outcome: ``equal`` if counts and histograms under clean inputs are the same, ``equal within noise`` if F1
            differs by no more than seeds or subjects explain, otherwise ``different``.
        reason: Comparison in one clause.
    """

    run: StoredRecord
    again: StoredRecord
    outcome: Outcome
    reason: str

    def __str__(self) -> str:
        info = self.run.info
        name = f"{info.method.name} on {info.protocol.name}, seed {info.seed}, run {info.run}"
        first, again = (100 * run.summary.f1_mean for run in (self.run, self.again))
        f1 = f"F1 {first:.2f} % in the record, {again:.2f} % again"
        return f"{name}: {self.outcome} ({f1}; {self.reason})"


def row_of(run: StoredRecord) -> list[StoredRecord]:
    """Read all records of the row of a run."""
    folders = system_files.children(run.folder.parent)
    siblings = (StoredRecord(folder, record_file.read(folder)) for folder in folders)
    key = row_key(run), run.info.selection
    return [other for other in siblings if other.is_complete and (row_key(other), other.info.selection) == key]


def compare(run: StoredRecord, again: StoredRecord, row: Sequence[StoredRecord]) -> Reproduction:
    """Compare the repetition of a run with its record.

    With several seeds, F1 of the repetition is within noise if it lies in the 95 % prediction interval for another
    seed of the row. With one seed, it is if the paired test over subjects finds no difference.

    Args:
        run: Record.
        again: Record of the repetition.
        row: Records of the row, with that of the run.
    """

    def result(outcome: Outcome, reason: str) -> Reproduction:
        return Reproduction(run, again, outcome, reason)

    if again.labels != run.labels:
        return result("different", "the test labels differ")
    tables = ((run.record.counts, again.record.counts), (run.record.histograms, again.record.histograms))
    clean = (tuple(table[table["condition"] == counts_file.CLEAN] for table in pair) for pair in tables)
    if all(first.reset_index(drop=True).equals(second.reset_index(drop=True)) for first, second in clean):
        return result("equal", "all counts and histograms are the same")
    seeds = np.array([sibling.summary.f1_mean for sibling in row])
    if len(seeds) > 1:
        from scipy.special import stdtrit

        reach = stdtrit(len(seeds) - 1, (1 + _LEVEL) / 2) * seeds.std(ddof=1) * np.sqrt(1 + 1 / len(seeds))
        low, high = seeds.mean() - reach, seeds.mean() + reach
        is_near = bool(low <= again.summary.f1_mean <= high)
        reason = f"another of {len(seeds)} seeds is expected from {100 * low:.2f} to {100 * high:.2f} %"
    else:
        difference = average([resample(again.record.counts)]) - average([resample(run.record.counts)])
        p = float(significance.sign_flip_test(difference.contributions[:, -1:])[0])
        is_near, reason = p >= significance.ALPHA, f"paired test over subjects: p = {p:.3f}"
    return result("equal within noise" if is_near else "different", reason)
