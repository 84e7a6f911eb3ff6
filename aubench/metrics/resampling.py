"""Per-subject jackknife contributions to F1, used by confidence intervals, paired tests and ranks.

Frames of one subject are dependent, subjects are independent. So the jackknife leaves out subjects, and the bootstrap
draws subjects with replacement within each fold. All runs (seeds) use the same draws and are averaged. NumPy guarantees
the stream of ``RandomState``, and the order of all sums is fixed, so results are equal on every platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress, groupby, product
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench.core.errors import RecordError
from aubench.results import counts as counts_file

DRAWS = 10_000
BLOCKS = 20
"""Number of parts whose scores are added up in turn, which fixes the order of the sum."""
_SEED = 20_240_229

Floats = npt.NDArray[np.float64]
FoldSubjects = tuple[tuple[int, tuple[str, ...]], ...]
"""Folds, ascending, and the subjects of each, ascending."""


@dataclass(frozen=True)
class SubjectContributions:
    """F1, or a difference of two F1s, by subject; the last column is the mean over AUs.

    Attributes:
        aus: AUs, ascending (A).
        subjects: Folds and their subjects (S in total).
        estimate: F1 of each AU and their mean, averaged over folds and runs (A + 1,).
        contributions: Share of each subject in ``estimate``: an equal part of the fold's score plus the change of the
            score due to the subject (S, A + 1). Each column sums to its estimate.
        bias: Small-sample bias of the estimate, from the bootstrap (A + 1,).
        labelled: 1 for each fold with labelled frames of the AU, or of any AU in the last column, else 0 (F, A + 1).
        lower_bound: Lowest possible value, 0 or -1.
    """

    aus: tuple[int, ...]
    subjects: FoldSubjects
    estimate: Floats
    contributions: Floats
    bias: Floats
    labelled: Floats
    lower_bound: float = 0.0

    def __sub__(self, other: SubjectContributions) -> SubjectContributions:
        """Subtract subject by subject.

        Raises:
            RecordError: The two differ in folds, subjects or AUs.
        """
        if (self.aus, self.subjects) != (other.aus, other.subjects):
            raise _mismatch_error()
        return SubjectContributions(
            self.aus,
            self.subjects,
            self.estimate - other.estimate,
            self.contributions - other.contributions,
            self.bias - other.bias,
            np.maximum(self.labelled, other.labelled),
            -1.0,
        )

    @property
    def contributions_by_fold(self) -> list[Floats]:
        """``contributions`` of each fold (S of the fold, A + 1)."""
        ends = np.cumsum([len(subjects) for _, subjects in self.subjects])
        return np.split(self.contributions, ends[:-1])


@dataclass(frozen=True)
class ResampledRun:
    """F1 of one run by AU, of each fold in turn.

    Attributes:
        aus: AUs, ascending (A).
        subjects: Folds and their subjects (F folds, S subjects in total).
        score: F1 of all subjects (F, A).
        jackknife: F1 of the fold without each subject (S, A).
        bootstrap: F1 averaged over draws (F, A).
        labelled: 1 for each fold with labelled frames of the AU, else 0 (F, A).
    """

    aus: tuple[int, ...]
    subjects: FoldSubjects
    score: Floats
    jackknife: Floats
    bootstrap: Floats
    labelled: Floats


def resample(counts: pd.DataFrame, condition: str = counts_file.CLEAN) -> ResampledRun:
    """Compute F1 of a run, without each subject and averaged over draws.

    Raises:
        RecordError: A subject lacks the counts of an AU.
    """
    return _resampled(*_by_fold(counts, condition))


def subject_contributions(runs: Sequence[pd.DataFrame], condition: str = counts_file.CLEAN) -> SubjectContributions:
    """Compute each subject's contribution to the F1 of runs.

    Args:
        runs: Counts of each run (seed), over the same folds, subjects and AUs.
        condition: Test condition.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs, or a subject lacks the counts of an AU.
    """
    return average([resample(run, condition) for run in runs])


def resample_cells(
    subjects: FoldSubjects, aus: tuple[int, ...], cells: Sequence[npt.NDArray[np.int64]]
) -> ResampledRun:
    """Compute :func:`resample` from the counts of each fold (S of the fold, A, 4)."""
    terms = [_f1_terms(np.moveaxis(fold_cells.astype(np.float64), 2, 0)) for fold_cells in cells]
    return _resampled(subjects, aus, terms)


def average(runs: Sequence[ResampledRun]) -> SubjectContributions:
    """Average runs, and compute each subject's contribution.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs.
    """
    aus, subjects = runs[0].aus, runs[0].subjects
    if any((run.aus, run.subjects) != (aus, subjects) for run in runs):
        raise _mismatch_error()
    scores, jackknives, bootstraps = (
        _with_mean(_mean([getattr(run, name) for run in runs])) for name in ("score", "jackknife", "bootstrap")
    )
    estimate, bias, contributions = np.zeros(len(aus) + 1), np.zeros(len(aus) + 1), []
    ends = np.cumsum([len(names) for _, names in subjects])[:-1]
    for score, jackknife, bootstrap in zip(scores, np.split(jackknives, ends), bootstraps, strict=True):
        count = len(jackknife)
        change = (count - 1) * (_mean(list(jackknife)) - jackknife) / count
        contributions.append((score / count + change) / len(subjects))
        estimate, bias = estimate + score / len(subjects), bias + (bootstrap - score) / len(subjects)
    labelled = np.max([run.labelled for run in runs], axis=0)
    labelled = np.concatenate([labelled, labelled.max(axis=-1, keepdims=True)], axis=-1)
    return SubjectContributions(aus, subjects, estimate, np.concatenate(contributions), bias, labelled)


def _f1_terms(cells: Floats) -> Floats:
    """Return 2 TP, 2 TP + FP + FN and the number of labelled frames, from TP, FP, FN and TN (3, …)."""
    tp, fp, fn, tn = cells
    return np.stack([2 * tp, 2 * tp + fp + fn, tp + fp + fn + tn])


_ByFold = tuple[FoldSubjects, tuple[int, ...], list[Floats]]
"""Subjects, AUs, and for each fold :func:`_f1_terms` of each subject and AU (3, S, A)."""


def _by_fold(counts: pd.DataFrame, condition: str) -> _ByFold:
    chosen = (counts["condition"] == condition).to_numpy()
    columns = (compress(counts[name].tolist(), chosen) for name in ("fold", "subject", "au"))
    keys = list(zip(*columns, strict=True))
    cells = counts_file.cells(counts)[chosen].astype(np.float64)
    if keys != sorted(keys):
        order = sorted(range(len(keys)), key=keys.__getitem__)
        keys, cells = [keys[i] for i in order], cells[order]
    terms = _f1_terms(cells.T)
    aus = tuple(sorted({au for _, _, au in keys}))
    subjects, by_fold, begin = [], [], 0
    for fold, in_fold in groupby(keys, key=itemgetter(0)):
        rows = list(in_fold)
        names = tuple(subject for _, subject, _ in rows[:: len(aus)])
        if rows != [(fold, *key) for key in product(names, aus)]:
            raise RecordError("a subject lacks the counts of an AU", where=f"{counts_file.FILE}: fold {fold}")
        subjects.append((fold, names))
        by_fold.append(terms[:, begin : begin + len(rows)].reshape(3, len(names), len(aus)))
        begin += len(rows)
    return tuple(subjects), aus, by_fold


@lru_cache(maxsize=16)
def draw_weights(sizes: tuple[int, ...]) -> tuple[Floats, ...]:
    """Draw subjects with replacement.

    Args:
        sizes: Number of subjects of each fold.

    Returns:
        For each fold the number of times that each subject is drawn (R, S).
    """
    generator = np.random.RandomState(_SEED)
    weights = []
    for size in sizes:
        draws = generator.randint(0, size, size=(DRAWS, size), dtype=np.int64)
        flat = (draws + size * np.arange(DRAWS)[:, None]).ravel()
        weights.append(np.bincount(flat, minlength=DRAWS * size).reshape(DRAWS, size).astype(np.float64))
    return tuple(weights)


def _resampled(subjects: FoldSubjects, aus: tuple[int, ...], terms: Sequence[Floats]) -> ResampledRun:
    """Resample a run of which ``terms`` has :func:`_f1_terms` of each fold (3, S of the fold, A)."""
    scores, jackknives, bootstraps, labelled = [], [], [], []
    for fold_terms, weights in zip(terms, draw_weights(tuple(len(names) for _, names in subjects)), strict=True):
        fold_cells = fold_terms[:2]
        labelled.append((fold_terms[2].sum(axis=0) > 0).astype(np.float64))
        total = fold_cells.sum(axis=1, keepdims=True)
        scores.append(_f1(*total)[0])
        jackknives.append(_f1(*(total - fold_cells)))
        total_f1 = np.zeros(len(aus))
        for block in np.split(weights, BLOCKS):  # whose values fit in the cache
            numerator, denominator = block @ fold_cells  # sums of integers are exact
            np.divide(numerator, np.maximum(denominator, 1, out=denominator), out=numerator)
            total_f1 += numerator.sum(axis=0)
        bootstraps.append(total_f1 / len(weights))
    arrays = (np.stack(scores), np.concatenate(jackknives), np.stack(bootstraps), np.stack(labelled))
    return ResampledRun(aus, subjects, *arrays)


def _f1(numerator: Floats, denominator: Floats) -> Floats:
    """Compute F1 from 2 TP and 2 TP + FP + FN; 0 where undefined."""
    return np.asarray(numerator / np.maximum(denominator, 1))


def _with_mean(by_au: Floats) -> Floats:
    return np.concatenate([by_au, _mean(list(np.moveaxis(by_au, -1, 0)))[..., None]], axis=-1)


def _mean(terms: list[Floats]) -> Floats:
    total = np.zeros_like(terms[0])
    for term in terms:
        total = total + term
    return total / len(terms)


def _mismatch_error() -> RecordError:
    return RecordError("the runs compared differ in folds, subjects or AUs", where=counts_file.FILE)
