"""Intervals over subjects: how far F1 would move with other people of the same kind.

An interval is centred on the estimate without the bias that few people cause (the bootstrap tells it) and
reaches t standard errors to either side (the jackknife over people tells them), with one degree of freedom
less than people in each fold. It holds the F1 of infinitely many people as often as it says, where the
percentiles of the same bootstrap do not: docs/methodology.md has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aubench.metrics.resampling import Floats, SubjectContributions, subject_contributions
from aubench.results import counts as counts_file

LEVEL = 0.95


@dataclass(frozen=True)
class ConfidenceInterval:
    """A score or a difference of scores with its 95 % interval, as fractions."""

    estimate: float
    low: float
    high: float


def f1_interval(runs: Sequence[pd.DataFrame], condition: str = counts_file.CLEAN) -> ConfidenceInterval:
    """Headline F1 of runs, averaged over them.

    Args:
        runs: Counts of each run (seed); all over the same folds, subjects and AUs.
        condition: Which condition.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs.
    """
    return mean_interval(subject_contributions(runs, condition))


def f1_difference(
    ours: Sequence[pd.DataFrame], theirs: Sequence[pd.DataFrame], condition: str = counts_file.CLEAN
) -> ConfidenceInterval:
    """Headline F1 of one set of runs minus that of another, paired by subject.

    Args:
        ours: Counts of each run (seed).
        theirs: Counts of each run to compare with; as many as there are, not necessarily as many as ours.
        condition: Which condition.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs.
    """
    return mean_interval(subject_contributions(ours, condition) - subject_contributions(theirs, condition))


def mean_interval(found: SubjectContributions) -> ConfidenceInterval:
    """The interval of the mean over AUs."""
    return confidence_intervals(found)[-1]


def confidence_intervals(found: SubjectContributions) -> list[ConfidenceInterval]:
    """Intervals of each AU, and last of their mean."""
    centre, reach = found.estimate - found.bias, _half_width(found)
    low, high = np.clip(centre - reach, found.lower_bound, 1), np.clip(centre + reach, found.lower_bound, 1)
    return [ConfidenceInterval(*values) for values in np.stack([found.estimate, low, high], axis=1).tolist()]


def _half_width(found: SubjectContributions) -> Floats:
    """Half the width: t times the jackknife's standard error (A + 1,); endless where each fold has one person."""
    from scipy.special import stdtrit

    variance, freedom = np.zeros_like(found.estimate), 0
    for fold in found.contributions_by_fold:
        people = len(fold)
        if people > 1:
            centred = fold - fold.sum(axis=0) / people
            variance = variance + (centred**2).sum(axis=0) * people / (people - 1)
            freedom += people - 1
    if not freedom:
        return np.full_like(variance, np.inf)
    return np.asarray(stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(variance))
