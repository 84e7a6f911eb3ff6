"""Robustness of a method: F1 by condition, degradation curves, areas under them, and contributions of modalities.

All results are weighted sums of F1s under different conditions, computed subject by subject. So each has an interval
over subjects that accounts for the pairing of conditions.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import factorial

import numpy as np
import pandas as pd

from aubench.core.conditions import CLEAN, FILLS, Condition, missing
from aubench.core.errors import RecordError
from aubench.core.task import Modality
from aubench.metrics import baselines, intervals
from aubench.metrics.intervals import ConfidenceInterval
from aubench.metrics.resampling import SubjectContributions, subject_contributions

ModalitySet = tuple[Modality, ...]
"""Modalities that a condition corrupts; empty for all."""


@dataclass(frozen=True)
class RobustnessProfile:
    """Scores of a method under conditions, averaged over seeds.

    Attributes:
        name: Display name.
        modalities: Modalities that the method uses, in canonical order.
        by_condition: Subject contributions to F1 by condition, ``clean`` first.
        always_positive_f1: F1 of the always-positive baseline; None if the labels are not known.
    """

    name: str
    modalities: ModalitySet
    by_condition: Mapping[Condition, SubjectContributions]
    always_positive_f1: float | None = None

    @property
    def aus(self) -> tuple[int, ...]:
        """AUs, ascending."""
        return self.by_condition[CLEAN].aus

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Conditions without ``clean``."""
        return tuple(condition for condition in self.by_condition if condition != CLEAN)

    def f1(self, condition: Condition) -> list[ConfidenceInterval]:
        """Compute F1 of each AU, followed by their mean."""
        return intervals.confidence_intervals(self.by_condition[condition])

    def change(self, condition: Condition) -> list[ConfidenceInterval]:
        """Compute F1 minus that of clean inputs, paired by subject, of each AU, followed by their mean."""
        return intervals.confidence_intervals(self.by_condition[condition] - self.by_condition[CLEAN])

    def modality_sets(self, kind: str) -> list[ModalitySet]:
        """List the modality sets that conditions of a kind corrupt, in the order of the conditions."""
        return list(dict.fromkeys(condition.modalities for condition in self.conditions if condition.kind == kind))

    def curve(self, kind: str, modalities: ModalitySet) -> list[tuple[float, SubjectContributions]]:
        """Return the degradation curve: levels, ascending from 0 for clean inputs, and contributions to F1.

        Args:
            kind: Name of a corruption.
            modalities: One of :meth:`modality_sets`.
        """
        conditions = [c for c in self.conditions if (c.kind, c.modalities) == (kind, modalities)]
        levels = sorted((condition.corruption.level, self.by_condition[condition]) for condition in conditions)
        return [(0.0, self.by_condition[CLEAN]), *levels]

    def area(self, kind: str, modalities: ModalitySet) -> SubjectContributions:
        """Compute the area under the degradation curve divided by the range of levels."""
        return area(self.curve(kind, modalities))

    def leave_one_out(self, fill: str = FILLS[0]) -> dict[Modality, SubjectContributions]:
        """Compute the loss of F1 without each modality; empty if a condition for it is missing."""
        conditions = {m: missing((m,), fill) for m in self.modalities}
        if not set(conditions.values()) <= set(self.by_condition):
            return {}
        return {m: self.by_condition[CLEAN] - self.by_condition[condition] for m, condition in conditions.items()}

    def shapley(self, fill: str = FILLS[0]) -> dict[Modality, SubjectContributions]:
        """Compute the Shapley value of each modality; empty if a condition for it is missing."""
        by_subset: dict[frozenset[Modality], SubjectContributions] = {}
        for subset in _subsets(self.modalities):
            absent = tuple(m for m in self.modalities if m not in subset)
            condition = missing(absent, fill) if absent else CLEAN
            if condition not in self.by_condition:
                return {}
            by_subset[frozenset(subset)] = self.by_condition[condition]
        return {m: shapley(m, self.modalities, by_subset) for m in self.modalities}


def build_profile(
    name: str, modalities: ModalitySet, runs: Sequence[pd.DataFrame], conditions: Collection[Condition] | None = None
) -> RobustnessProfile:
    """Compute the profile of a method from the counts of its runs.

    Args:
        name: Display name.
        modalities: Modalities that the method uses.
        runs: Counts of each run (seed), over the same folds, subjects and AUs.
        conditions: Conditions besides ``clean``, in this order; all if None.

    Returns:
        The profile over those conditions that all runs have.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs, or have an invalid condition.
    """
    common = set.intersection(*(set(run["condition"]) for run in runs))
    if conditions is None:
        conditions = sorted((Condition.parse(text) for text in common), key=condition_sort_key)
    order = [condition for condition in (CLEAN, *(c for c in conditions if c != CLEAN)) if str(condition) in common]
    by_condition = {condition: subject_contributions(runs, str(condition)) for condition in order}
    if CLEAN not in by_condition:
        raise RecordError("has no counts of clean inputs", where=name)
    return RobustnessProfile(name, Modality.ordered(modalities), by_condition, baselines.always_positive_f1(runs[0]))


def common_always_positive_f1(profiles: Sequence[RobustnessProfile]) -> float | None:
    """Return the always-positive F1 that profiles have in common; None if they differ."""
    scores = [profile.always_positive_f1 for profile in profiles]
    values = {None if score is None else round(score, 9) for score in scores}
    return values.pop() if len(values) == 1 else None


def condition_sort_key(condition: Condition) -> tuple[str, int, int, tuple[tuple[int, str], ...], float]:
    """Sort conditions by kind, fill, number of modalities (all together last), modalities and level."""
    order = tuple(modality.order for modality in condition.modalities)
    fill = condition.corruption.kind
    fill_index = FILLS.index(fill) if fill in FILLS else 0
    return condition.kind, fill_index, len(order) or sys.maxsize, order, condition.corruption.level


def area(curve: Sequence[tuple[float, SubjectContributions]]) -> SubjectContributions:
    """Compute the area under a curve of (level, F1) by trapezoids, divided by the range of levels."""
    levels = np.array([level for level, _ in curve])
    weights = np.zeros(len(levels))
    for (i, low), (j, high) in pairwise(enumerate(levels)):
        weights[[i, j]] += (high - low) / 2
    return weighted_sum([point for _, point in curve], (weights / (levels[-1] - levels[0])).tolist())


def shapley(
    modality: Modality, modalities: ModalitySet, by_subset: Mapping[frozenset[Modality], SubjectContributions]
) -> SubjectContributions:
    """Compute the Shapley value of a modality: its mean gain over all orders of adding modalities.

    The value is the sum over the subsets S of the other modalities of |S|! (M - |S| - 1)! / M! (v(S + m) - v(S)).

    Args:
        modality: Modality m.
        modalities: All M modalities.
        by_subset: F1 with each subset of modalities (v), including the empty one.
    """
    others = tuple(m for m in modalities if m != modality)
    terms, weights = [], []
    for subset in map(frozenset, _subsets(others)):
        weight = factorial(len(subset)) * factorial(len(others) - len(subset)) / factorial(len(modalities))
        terms += [by_subset[subset | {modality}], by_subset[subset]]
        weights += [weight, -weight]
    return weighted_sum(terms, weights)


def weighted_sum(terms: Sequence[SubjectContributions], weights: Sequence[float]) -> SubjectContributions:
    """Compute a weighted sum subject by subject.

    Raises:
        RecordError: The terms differ in folds, subjects or AUs.
    """
    first = terms[0]
    if any((term.aus, term.subjects) != (first.aus, first.subjects) for term in terms):
        raise RecordError("the terms of a sum differ in folds, subjects or AUs", where="counts")
    estimate, contributions, bias = (
        np.asarray(sum(weight * getattr(term, field) for weight, term in zip(weights, terms, strict=True)))
        for field in ("estimate", "contributions", "bias")
    )
    lower_bound = 0.0 if min(weights) >= 0 else -1.0
    labelled = np.max([term.labelled for term in terms], axis=0)
    return SubjectContributions(first.aus, first.subjects, estimate, contributions, bias, labelled, lower_bound)


def _subsets(modalities: ModalitySet) -> list[ModalitySet]:
    return [subset for size in range(len(modalities) + 1) for subset in combinations(modalities, size)]
