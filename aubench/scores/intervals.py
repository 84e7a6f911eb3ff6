"""Intervals by bootstrap over subjects: frames of one person are not independent, people are.

In each resample every fold draws as many of its test subjects as it has, with replacement; folds keep
their places. Where several runs (seeds) are given, all of them see the same draw and their scores are
averaged; both sides of a difference see the same draw too (paired). The generator's stream is frozen
by NumPy (``RandomState``) and every sum has a fixed order, so the interval is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench.errors import RecordError
from aubench.scores import counts as counts_file
from aubench.scores import metrics

RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)
_SEED = 20_240_229


@dataclass(frozen=True)
class Interval:
    """A score or a difference of scores with its 95 % percentile interval, as fractions."""

    estimate: float
    low: float
    high: float


def f1_interval(runs: Sequence[pd.DataFrame], condition: str = counts_file.CLEAN) -> Interval:
    """Headline F1 of runs, averaged over them.

    Args:
        runs: Counts of each run (seed); all over the same folds, subjects and AUs.
        condition: Which condition.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs.
    """
    table = [_by_fold(run, condition) for run in runs]
    return _interval(_headline(table, None)[0], _headline(table, _draws(table)))


def f1_difference(
    ours: Sequence[pd.DataFrame], theirs: Sequence[pd.DataFrame], condition: str = counts_file.CLEAN
) -> Interval:
    """Headline F1 of one set of runs minus that of another, paired by subject.

    Args:
        ours: Counts of each run (seed).
        theirs: Counts of each run to compare with; as many as there are, not necessarily as many as ours.
        condition: Which condition.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs.
    """
    tables = [[_by_fold(run, condition) for run in side] for side in (ours, theirs)]
    draws = _draws([*tables[0], *tables[1]])
    estimate = _headline(tables[0], None)[0] - _headline(tables[1], None)[0]
    return _interval(estimate, _headline(tables[0], draws) - _headline(tables[1], draws))


_Fold = tuple[list[str], list[int], npt.NDArray[np.float64]]
"""Subjects, AUs and their counts (S, A, 4)."""


def _by_fold(counts: pd.DataFrame, condition: str) -> dict[int, _Fold]:
    chosen = counts[counts["condition"] == condition]
    folds = {}
    for fold in sorted(set(chosen["fold"].tolist())):
        rows = chosen[chosen["fold"] == fold].sort_values(["subject", "au"])
        subjects, aus = sorted(set(rows["subject"])), sorted(set(rows["au"].tolist()))
        if list(zip(rows["subject"], rows["au"].tolist(), strict=True)) != list(product(subjects, aus)):
            raise RecordError("a subject lacks the counts of an AU", where=f"{counts_file.FILE}: fold {fold}")
        cells = rows[counts_file.CELLS].to_numpy(np.float64).reshape(len(subjects), len(aus), 4)
        folds[fold] = (subjects, aus, cells)
    return folds


def _draws(runs: Sequence[dict[int, _Fold]]) -> dict[int, npt.NDArray[np.float64]]:
    """How often each subject is drawn: per fold (R, S)."""
    first = runs[0]
    for run in runs:
        if {fold: part[:2] for fold, part in run.items()} != {fold: part[:2] for fold, part in first.items()}:
            raise RecordError("the runs compared differ in folds, subjects or AUs", where=counts_file.FILE)
    generator = np.random.RandomState(_SEED)
    weights = {}
    for fold in sorted(first):
        people = len(first[fold][0])
        drawn = generator.randint(0, people, size=(RESAMPLES, people), dtype=np.int64)
        weights[fold] = np.stack([(drawn == person).sum(axis=1) for person in range(people)], axis=1).astype(np.float64)
    return weights


def _headline(
    runs: Sequence[dict[int, _Fold]], draws: dict[int, npt.NDArray[np.float64]] | None
) -> npt.NDArray[np.float64]:
    """Headline F1, mean over runs, per resample (R,); of everybody once where ``draws`` is None (1,)."""
    scores = []
    for run in runs:
        per_fold = []
        for fold, (subjects, aus, cells) in sorted(run.items()):
            weights = np.ones((1, len(subjects))) if draws is None else draws[fold]
            resampled = (weights @ cells.reshape(len(subjects), -1)).reshape(-1, len(aus), 4)  # whole numbers, so exact
            per_fold.append(_mean(list(metrics.f1(resampled).T)))
        scores.append(_mean(per_fold))
    return _mean(scores)


def _mean(terms: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    total = np.zeros_like(terms[0])
    for term in terms:
        total = total + term
    return total / len(terms)


def _interval(estimate: float, resampled: npt.NDArray[np.float64]) -> Interval:
    low, high = np.percentile(resampled, PERCENTILES)
    return Interval(float(estimate), float(low), float(high))
