"""Confidence intervals of F1 over test subjects.

An interval is centred on the estimate minus its small-sample bias (from the bootstrap). Its half width is t times the
standard error (from the jackknife over subjects), with one degree of freedom less than subjects in each fold that has
labelled frames. Its coverage of the F1 of an infinite population is the nominal one. Percentiles of the same bootstrap
cover less: docs/methodology.md has the figures. If such a fold has one subject, the interval is the full range.
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
    """Score, or difference of scores, with its 95 % interval, as fractions."""

    estimate: float
    low: float
    high: float


def f1_interval(runs: Sequence[pd.DataFrame], condition: str = counts_file.CLEAN) -> ConfidenceInterval:
    """Compute the headline F1 of runs, averaged over them.

    Args:
        runs: Counts of each run (seed), over the same folds, subjects and AUs.
        condition: Test condition.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs.
    """
    return mean_interval(subject_contributions(runs, condition))


def f1_difference(ours: Sequence[pd.DataFrame], theirs: Sequence[pd.DataFrame]) -> ConfidenceInterval:
    """Compute the headline F1 of one set of runs minus that of another, paired by subject.

    Args:
        ours: Counts of each run (seed).
        theirs: Counts of each run to compare with; the number of runs may differ.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs.
    """
    return mean_interval(subject_contributions(ours) - subject_contributions(theirs))


def mean_interval(contributions: SubjectContributions) -> ConfidenceInterval:
    """Compute the interval of the mean over AUs."""
    return confidence_intervals(contributions)[-1]


def confidence_intervals(contributions: SubjectContributions) -> list[ConfidenceInterval]:
    """Compute the interval of each AU, followed by that of their mean."""
    centre, half_width = contributions.estimate - contributions.bias, _half_width(contributions)
    low, high = (np.clip(centre + sign * half_width, contributions.lower_bound, 1) for sign in (-1, 1))
    return [ConfidenceInterval(*values) for values in np.stack([contributions.estimate, low, high], axis=1).tolist()]


def _half_width(contributions: SubjectContributions) -> Floats:
    """Compute t times the jackknife standard error (A + 1,).

    It is infinite if a fold with labelled frames has one subject, because the variance within that fold is unknown, and
    without labelled frames. Folds without them have a constant score, and therefore no degrees of freedom.
    """
    from scipy.special import stdtrit

    variance, freedom = np.zeros_like(contributions.estimate), np.zeros_like(contributions.estimate)
    for fold, labelled in zip(contributions.contributions_by_fold, contributions.labelled, strict=True):
        subjects = len(fold)
        if subjects == 1:
            variance = np.where(labelled > 0, np.inf, variance)
            continue
        centred = fold - fold.sum(axis=0) / subjects
        variance = variance + (centred**2).sum(axis=0) * subjects / (subjects - 1)
        freedom = freedom + (subjects - 1) * labelled
    half_width = stdtrit(np.maximum(freedom, 1), (1 + LEVEL) / 2) * np.sqrt(variance)
    return np.where(freedom > 0, half_width, np.inf)
