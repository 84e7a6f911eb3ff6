"""What each test subject contributes to F1: the ground under intervals, paired tests and ranks.

Frames of one person are not independent, people are. So everything is taken per person: F1 without the
person (the jackknife), and F1 of people drawn with replacement (the bootstrap), fold by fold, since folds
keep their places. Several runs (seeds) meet the same draws and are averaged. The generator's stream is
frozen by NumPy (``RandomState``) and every sum has a fixed order, so results are the same everywhere.
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
_BLOCKS = 20
_SEED = 20_240_229

Floats = npt.NDArray[np.float64]
FoldSubjects = tuple[tuple[int, tuple[str, ...]], ...]
"""Folds, ascending, and the subjects of each, ascending."""


@dataclass(frozen=True)
class SubjectContributions:
    """F1, or a difference of two, by the people it comes from; the last column is the mean over AUs.

    Attributes:
        aus: The AUs, ascending (A).
        people: Folds and their subjects (S in all).
        estimate: F1 of each AU and their mean, mean over folds and runs (A + 1,).
        parts: What each person adds to ``estimate``: an equal part of the fold's score, and by how much the
            score changes with the person (S, A + 1). Each column sums to its estimate.
        bias: By how much few people make the estimate differ, as drawing people again does (A + 1,).
        lowest: The lowest value that there can be, 0 or -1.
    """

    aus: tuple[int, ...]
    subjects: FoldSubjects
    estimate: Floats
    contributions: Floats
    bias: Floats
    lower_bound: float = 0.0

    def __sub__(self, other: SubjectContributions) -> SubjectContributions:
        """The difference, person by person.

        Raises:
            RecordError: The two are over different folds, subjects or AUs.
        """
        if (self.aus, self.subjects) != (other.aus, other.subjects):
            raise _mismatch_error()
        estimate, parts, bias = (
            self.estimate - other.estimate,
            self.contributions - other.contributions,
            self.bias - other.bias,
        )
        return SubjectContributions(self.aus, self.subjects, estimate, parts, bias, -1.0)

    @property
    def contributions_by_fold(self) -> list[Floats]:
        """``parts`` of each fold (S of the fold, A + 1)."""
        ends = np.cumsum([len(subjects) for _, subjects in self.subjects])
        return np.split(self.contributions, ends[:-1])


def subject_contributions(runs: Sequence[pd.DataFrame], condition: str = counts_file.CLEAN) -> SubjectContributions:
    """What each person contributes to the F1 of runs.

    Args:
        runs: Counts of each run (seed); all over the same folds, subjects and AUs.
        condition: Which condition.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs, or a person lacks an AU's counts.
    """
    tables = [_by_fold(run, condition) for run in runs]
    people, aus, _ = tables[0]
    if any((run[0], run[1]) != (people, aus) for run in tables[1:]):
        raise _mismatch_error()
    cells = [np.stack(of_fold, axis=1) for of_fold in zip(*(run[2] for run in tables), strict=True)]
    return contributions_from_cells(people, aus, cells)


def contributions_from_cells(
    people: FoldSubjects, aus: tuple[int, ...], cells: Sequence[Floats]
) -> SubjectContributions:
    """:func:`shares` of counts as arrays.

    Args:
        people: Fold numbers and subjects.
        aus: The AUs.
        cells: For each fold 2 TP and 2 TP + FP + FN of each run, person and AU (2, K, S, A), whole numbers.
    """
    estimate, bias, parts = np.zeros(len(aus) + 1), np.zeros(len(aus) + 1), []
    for of_fold, weights in zip(cells, _draws(tuple(len(subjects) for _, subjects in people)), strict=True):
        score, without, drawn = _resampled(of_fold, weights)
        count = len(without)
        change = (count - 1) * (_mean(list(without)) - without) / count
        parts.append((score / count + change) / len(cells))
        estimate, bias = estimate + score / len(cells), bias + (drawn - score) / len(cells)
    return SubjectContributions(aus, people, estimate, np.concatenate(parts), bias)


_ByFold = tuple[FoldSubjects, tuple[int, ...], list[Floats]]
"""People, AUs, and for each fold 2 TP and 2 TP + FP + FN of each person and AU (2, S, A)."""


def _by_fold(counts: pd.DataFrame, condition: str) -> _ByFold:
    rows = counts[counts["condition"] == condition].sort_values(["fold", "subject", "au"])
    folds, subjects, aus = (rows[name].to_numpy(object) for name in ("fold", "subject", "au"))
    tp, fp, fn = (rows[name].to_numpy(np.float64) for name in ("tp", "fp", "fn"))
    numerator, denominator = 2 * tp, 2 * tp + fp + fn
    every_au = tuple(sorted(set(aus)))
    people, cells = [], []
    for fold in sorted(set(folds)):
        at = folds == fold
        found = tuple(sorted(set(subjects[at])))
        if list(zip(subjects[at], aus[at], strict=True)) != list(product(found, every_au)):
            raise RecordError("a subject lacks the counts of an AU", where=f"{counts_file.FILE}: fold {fold}")
        people.append((fold, found))
        cells.append(np.stack([numerator[at], denominator[at]]).reshape(2, len(found), len(every_au)))
    return tuple(people), every_au, cells


@lru_cache(maxsize=16)
def _draws(sizes: tuple[int, ...]) -> tuple[Floats, ...]:
    """How often each person is drawn: per fold (R, S)."""
    generator = np.random.RandomState(_SEED)
    weights = []
    for people in sizes:
        drawn = generator.randint(0, people, size=(DRAWS, people), dtype=np.int64)
        flat = (drawn + people * np.arange(DRAWS)[:, None]).ravel()
        weights.append(np.bincount(flat, minlength=DRAWS * people).reshape(DRAWS, people).astype(np.float64))
    return tuple(weights)


def _resampled(cells: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """F1 of a fold, mean over runs: of all (A + 1,), without each person (S, A + 1), mean over draws (A + 1,).

    Args:
        cells: Of each run (2, K, S, A).
        weights: How often each person is drawn (R, S).
    """
    _, runs, people, aus = cells.shape
    total = cells.sum(axis=2, keepdims=True)
    score, without = _f1(*total)[:, 0], _f1(*(total - cells))
    numerator, denominator = (np.moveaxis(part, 0, 1).reshape(people, runs * aus) for part in cells)
    blocks = np.split(weights, _BLOCKS)  # small ones stay in the processor's cache; sums of whole numbers are exact
    drawn = sum((_f1(block @ numerator, block @ denominator).sum(axis=0) for block in blocks), np.zeros(runs * aus))
    means = drawn.reshape(runs, aus) / len(weights)
    score, without, drawn = _mean(list(score)), _mean(list(without)), _mean(list(means))
    return _with_mean(score), _with_mean(without), _with_mean(drawn)


def _f1(numerator: Floats, denominator: Floats) -> Floats:
    """F1 of 2 TP and 2 TP + FP + FN; 0 where it is undefined."""
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
