"""Per-subject jackknife contributions to F1, used by confidence intervals, paired tests and ranks.

Frames of one subject are dependent, subjects are independent. So the jackknife leaves out subjects, and the bootstrap
draws subjects with replacement within each fold. All runs (seeds) use the same draws and are averaged. NumPy guarantees
the stream of ``RandomState``, and the order of all sums is fixed, so results are equal on every platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench.core.errors import RecordError
from aubench.results import counts as counts_file

DRAWS = 10_000
BLOCKS = 20
"""Number of parts in which draws are scored; a part fits the processor's cache."""
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
        lower_bound: Lowest possible value, 0 or -1.
    """

    aus: tuple[int, ...]
    subjects: FoldSubjects
    estimate: Floats
    contributions: Floats
    bias: Floats
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
            -1.0,
        )

    @property
    def contributions_by_fold(self) -> list[Floats]:
        """``contributions`` of each fold (S of the fold, A + 1)."""
        ends = np.cumsum([len(subjects) for _, subjects in self.subjects])
        return np.split(self.contributions, ends[:-1])


def subject_contributions(runs: Sequence[pd.DataFrame], condition: str = counts_file.CLEAN) -> SubjectContributions:
    """Compute each subject's contribution to the F1 of runs.

    Args:
        runs: Counts of each run (seed), over the same folds, subjects and AUs.
        condition: Test condition.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs, or a subject lacks the counts of an AU.
    """
    tables = [_by_fold(run, condition) for run in runs]
    subjects, aus, _ = tables[0]
    if any((run[0], run[1]) != (subjects, aus) for run in tables[1:]):
        raise _mismatch_error()
    cells = [np.stack(fold_runs, axis=1) for fold_runs in zip(*(run[2] for run in tables), strict=True)]
    return contributions_from_cells(subjects, aus, cells)


def contributions_from_cells(
    subjects: FoldSubjects, aus: tuple[int, ...], cells: Sequence[Floats]
) -> SubjectContributions:
    """Compute :func:`subject_contributions` from arrays.

    Args:
        subjects: Folds and their subjects.
        aus: AUs.
        cells: For each fold 2 TP and 2 TP + FP + FN of each run, subject and AU (2, K, S, A), integers.
    """
    estimate, bias, contributions = np.zeros(len(aus) + 1), np.zeros(len(aus) + 1), []
    for fold_cells, weights in zip(cells, draw_weights(tuple(len(names) for _, names in subjects)), strict=True):
        score, jackknife, bootstrap = _resampled(fold_cells, weights)
        count = len(jackknife)
        change = (count - 1) * (_mean(list(jackknife)) - jackknife) / count
        contributions.append((score / count + change) / len(cells))
        estimate, bias = estimate + score / len(cells), bias + (bootstrap - score) / len(cells)
    return SubjectContributions(aus, subjects, estimate, np.concatenate(contributions), bias)


_ByFold = tuple[FoldSubjects, tuple[int, ...], list[Floats]]
"""Subjects, AUs, and for each fold 2 TP and 2 TP + FP + FN of each subject and AU (2, S, A)."""


def _by_fold(counts: pd.DataFrame, condition: str) -> _ByFold:
    rows = counts[counts["condition"] == condition].sort_values(["fold", "subject", "au"])
    folds, subjects, aus = (rows[name].to_numpy(object) for name in ("fold", "subject", "au"))
    tp, fp, fn = (rows[name].to_numpy(np.float64) for name in ("tp", "fp", "fn"))
    numerator, denominator = 2 * tp, 2 * tp + fp + fn
    all_aus = tuple(sorted(set(aus)))
    fold_subjects, cells = [], []
    for fold in sorted(set(folds)):
        in_fold = folds == fold
        names = tuple(sorted(set(subjects[in_fold])))
        if list(zip(subjects[in_fold], aus[in_fold], strict=True)) != list(product(names, all_aus)):
            raise RecordError("a subject lacks the counts of an AU", where=f"{counts_file.FILE}: fold {fold}")
        fold_subjects.append((fold, names))
        cells.append(np.stack([numerator[in_fold], denominator[in_fold]]).reshape(2, len(names), len(all_aus)))
    return tuple(fold_subjects), all_aus, cells


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


def _resampled(cells: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Compute F1 of a fold, averaged over runs.

    Args:
        cells: As in :func:`contributions_from_cells` (2, K, S, A).
        weights: As from :func:`draw_weights` (R, S).

    Returns:
        F1 of all subjects (A + 1,), without each subject (S, A + 1), and averaged over draws (A + 1,).
    """
    _, runs, subjects, aus = cells.shape
    total = cells.sum(axis=2, keepdims=True)
    score, jackknife = _f1(*total)[:, 0], _f1(*(total - cells))
    numerator, denominator = (np.moveaxis(part, 0, 1).reshape(subjects, runs * aus) for part in cells)
    blocks = np.split(weights, BLOCKS)  # sums of integers are exact
    sums = sum((_f1(block @ numerator, block @ denominator).sum(axis=0) for block in blocks), np.zeros(runs * aus))
    bootstrap = sums.reshape(runs, aus) / len(weights)
    score, jackknife, bootstrap = (_with_mean(_mean(list(values))) for values in (score, jackknife, bootstrap))
    return score, jackknife, bootstrap


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
