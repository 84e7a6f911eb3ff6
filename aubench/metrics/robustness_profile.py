"""What conditions cost a method, from counts alone: curves, the area under them, what each modality contributes.

Everything here is a weighted sum of F1s under different conditions, taken person by person, so that each
has an interval over people in which what the conditions share cancels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import factorial

import numpy as np
import pandas as pd

from aubench.core.conditions import CLEAN, FILLS, Condition, Kind, missing
from aubench.core.errors import RecordError
from aubench.core.task import Modality
from aubench.metrics import baselines, intervals
from aubench.metrics.intervals import ConfidenceInterval
from aubench.metrics.resampling import SubjectContributions, subject_contributions

ModalitySet = tuple[Modality, ...]
"""The modalities that a condition treats; empty for all."""


@dataclass(frozen=True)
class RobustnessProfile:
    """A method under conditions, mean over its seeds.

    Attributes:
        name: How it is called.
        modalities: What it uses, in canonical order.
        found: What each person contributes to F1, by condition; ``clean`` is among them and comes first.
        always: F1 of answering "present" to every frame; None where the labels are not known.
    """

    name: str
    modalities: ModalitySet
    by_condition: Mapping[Condition, SubjectContributions]
    always_positive_f1: float | None = None

    @property
    def aus(self) -> tuple[int, ...]:
        """The AUs, ascending."""
        return self.by_condition[CLEAN].aus

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All but ``clean``."""
        return tuple(condition for condition in self.by_condition if condition != CLEAN)

    def f1(self, condition: Condition) -> list[ConfidenceInterval]:
        """F1 of each AU, and last of their mean."""
        return intervals.confidence_intervals(self.by_condition[condition])

    def change(self, condition: Condition) -> list[ConfidenceInterval]:
        """F1 minus that of clean inputs, paired by subject: of each AU, and last of their mean."""
        return intervals.confidence_intervals(self.by_condition[condition] - self.by_condition[CLEAN])

    def modality_sets(self, kind: Kind) -> list[ModalitySet]:
        """Where conditions of a kind were applied, in their order."""
        return list(dict.fromkeys(condition.modalities for condition in self.conditions if condition.kind == kind))

    def curve(self, kind: Kind, place: ModalitySet) -> list[tuple[float, SubjectContributions]]:
        """Levels, ascending from 0 for clean inputs, and what was found there.

        Args:
            kind: ``noise`` or ``mask``.
            place: One of :meth:`places`.
        """
        there = [c for c in self.conditions if (c.kind, c.modalities) == (kind, place)]
        levels = sorted((condition.corruption.level, self.by_condition[condition]) for condition in there)
        return [(0.0, self.by_condition[CLEAN]), *levels]

    def area(self, kind: Kind, place: ModalitySet) -> SubjectContributions:
        """Area under the degradation curve divided by its range: a mean F1 from clean to the largest level."""
        return area(self.curve(kind, place))

    def leave_one_out(self, fill: str = FILLS[0]) -> dict[Modality, SubjectContributions]:
        """What is lost without each modality; empty where that was not measured of every one."""
        gone = {m: missing((m,), fill) for m in self.modalities}
        if not set(gone.values()) <= set(self.by_condition):
            return {}
        return {m: self.by_condition[CLEAN] - self.by_condition[condition] for m, condition in gone.items()}

    def shapley(self, fill: str = FILLS[0]) -> dict[Modality, SubjectContributions]:
        """Shapley value of each modality; empty where a subset of modalities was not measured."""
        found: dict[frozenset[Modality], SubjectContributions] = {}
        for kept in _subsets(self.modalities):
            gone = tuple(m for m in self.modalities if m not in kept)
            condition = missing(gone, fill) if gone else CLEAN
            if condition not in self.by_condition:
                return {}
            found[frozenset(kept)] = self.by_condition[condition]
        return {m: shapley(m, self.modalities, found) for m in self.modalities}


def build_profile(
    name: str, modalities: ModalitySet, runs: Sequence[pd.DataFrame], wanted: Collection[Condition] | None = None
) -> RobustnessProfile:
    """A method from the counts of its runs.

    Args:
        name: How it is called.
        modalities: What it uses.
        runs: Counts of each run (seed); all over the same folds, subjects and AUs.
        wanted: Conditions to look at besides ``clean``, in this order; all when None.

    Returns:
        What was found under each condition that all runs were put under.

    Raises:
        RecordError: The runs differ in folds, subjects or AUs; or have a condition that cannot be read.
    """
    common = set.intersection(*(set(run["condition"]) for run in runs))
    if wanted is None:
        wanted = sorted((Condition.parse(text) for text in common), key=condition_sort_key)
    order = [CLEAN, *(condition for condition in wanted if condition != CLEAN)]
    found = {condition: subject_contributions(runs, str(condition)) for condition in order if str(condition) in common}
    if CLEAN not in found:
        raise RecordError("has no counts of clean inputs", where=name)
    return RobustnessProfile(
        name, tuple(m for m in Modality if m in modalities), found, baselines.always_positive_f1(runs[0])
    )


def common_always_positive_f1(found: Sequence[RobustnessProfile]) -> float | None:
    """What :attr:`Profile.always` is of all of some methods; None where they differ in it."""
    values = {None if one.always_positive_f1 is None else round(one.always_positive_f1, 9) for one in found}
    return values.pop() if len(values) == 1 else None


def condition_sort_key(condition: Condition) -> tuple[str, int, int, tuple[int, ...], float]:
    """Sorts conditions: by kind, what fills, how many modalities and which, level; all modalities at once last."""
    which = tuple(list(Modality).index(m) for m in condition.modalities)
    how = condition.corruption.kind
    fill = FILLS.index(how) if how in FILLS else 0
    return condition.kind, fill, len(which) or len(Modality) + 1, which, condition.corruption.level


def area(curve: Sequence[tuple[float, SubjectContributions]]) -> SubjectContributions:
    """Area under a curve of (level, F1) by trapezoids, divided by the range of levels."""
    levels = np.array([level for level, _ in curve])
    weights = np.zeros(len(levels))
    for (i, low), (j, high) in pairwise(enumerate(levels)):
        weights[[i, j]] += (high - low) / 2
    return weighted_sum([found for _, found in curve], (weights / (levels[-1] - levels[0])).tolist())


def shapley(
    one: Modality, modalities: ModalitySet, found: Mapping[frozenset[Modality], SubjectContributions]
) -> SubjectContributions:
    """Shapley value of a modality: what it adds, averaged over all orders in which modalities may arrive.

    The sum over the subsets S of the others of |S|! (M - |S| - 1)! / M! (v(S and it) - v(S)).

    Args:
        one: The modality.
        modalities: All M of them.
        found: F1 with each subset left over (v), the empty one included.
    """
    others = tuple(m for m in modalities if m != one)
    terms, weights = [], []
    for kept in map(frozenset, _subsets(others)):
        share = factorial(len(kept)) * factorial(len(others) - len(kept)) / factorial(len(modalities))
        terms += [found[kept | {one}], found[kept]]
        weights += [share, -share]
    return weighted_sum(terms, weights)


def weighted_sum(terms: Sequence[SubjectContributions], weights: Sequence[float]) -> SubjectContributions:
    """A weighted sum, person by person.

    Raises:
        RecordError: The terms are over different folds, subjects or AUs.
    """
    first = terms[0]
    if any((term.aus, term.subjects) != (first.aus, first.subjects) for term in terms):
        raise RecordError("the terms of a sum differ in folds, subjects or AUs", where="counts")
    estimate, parts, bias = (
        sum(weight * values for weight, values in zip(weights, each, strict=True))
        for each in (
            [term.estimate for term in terms],
            [term.contributions for term in terms],
            [term.bias for term in terms],
        )
    )
    lowest = 0.0 if min(weights) >= 0 else -1.0
    return SubjectContributions(
        first.aus, first.subjects, np.asarray(estimate), np.asarray(parts), np.asarray(bias), lowest
    )


def _subsets(modalities: ModalitySet) -> list[ModalitySet]:
    return [kept for size in range(len(modalities) + 1) for kept in combinations(modalities, size)]
