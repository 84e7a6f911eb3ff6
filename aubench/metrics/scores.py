"""From counts and histograms to F1, accuracy, AUC and average precision, to the same last digit on every machine.

F1 per AU is taken over the frames of a fold's test role, then the mean over AUs, then the mean over
folds; where it is undefined (nothing present, nothing predicted) it counts 0. AUC and average
precision are undefined where a class is absent and are left out of means there. Sums of fractions
are exact (``math.fsum``), so no order of addition can change a digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file
from aubench.results.record import Summary

DIGITS = 6
"""Decimals that a summary is rounded to."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ConfusionCounts:
    """Counts of one condition, summed over subjects.

    Attributes:
        folds: Folds present, ascending.
        aus: AUs present, ascending.
        cells: int64 (F, A, 4): tp, fp, fn, tn.
    """

    folds: tuple[int, ...]
    aus: tuple[int, ...]
    cells: Ints

    @property
    def pooled(self) -> Ints:
        """Counts of all folds together, (A, 4)."""
        return np.asarray(self.cells.sum(axis=0))


def sum_over_subjects(counts: pd.DataFrame, condition: str = counts_file.CLEAN) -> ConfusionCounts:
    """Sum the counts of ``condition`` over subjects."""
    chosen = counts[counts["condition"] == condition]
    folds, aus = sorted(set(chosen["fold"].tolist())), sorted(set(chosen["au"].tolist()))
    cells = np.zeros((len(folds), len(aus), 4), np.int64)
    at = np.searchsorted(folds, chosen["fold"]), np.searchsorted(aus, chosen["au"])
    np.add.at(cells, at, chosen[counts_file.CELLS].to_numpy(np.int64))
    return ConfusionCounts(tuple(folds), tuple(aus), cells)


def f1(cells: npt.NDArray[np.integer | np.floating]) -> Floats:
    """F1 of counts (…, 4); 0 where it is undefined."""
    tp, fp, fn = (cells[..., i].astype(np.float64) for i in range(3))
    below = 2 * tp + fp + fn
    return np.asarray(np.divide(2 * tp, below, out=np.zeros_like(below), where=below > 0))


def accuracy(cells: npt.NDArray[np.integer | np.floating]) -> Floats:
    """Share of right predictions of counts (…, 4); NaN where nothing is known."""
    total = cells.sum(axis=-1).astype(np.float64)
    right = np.asarray(cells[..., 0] + cells[..., 3], np.float64)
    return np.asarray(np.divide(right, total, out=np.full_like(total, np.nan), where=total > 0))


def auc(absent: Ints, present: Ints) -> float:
    """Area under the ROC curve of two histograms of probability.

    Args:
        absent: Frames per bin, ascending, whose label is 0.
        present: Likewise for label 1.

    Returns:
        The share of (present, absent) pairs in the right order, a pair within one bin counted half;
        NaN where a class is absent.
    """
    negatives, positives = absent.tolist(), present.tolist()
    twice, below = 0, 0
    for negative, positive in zip(negatives, positives, strict=True):
        twice += positive * (2 * below + negative)
        below += negative
    pairs = below * sum(positives)
    return twice / (2 * pairs) if pairs else math.nan


def average_precision(absent: Ints, present: Ints) -> float:
    """Average precision of two histograms of probability.

    Args:
        absent: Frames per bin, ascending, whose label is 0.
        present: Likewise for label 1.

    Returns:
        The sum, from the highest bin to the lowest, of precision times the step in recall, a bin being
        one step; NaN where no label is 1.
    """
    steps, hits, seen = [], 0, 0
    for negative, positive in zip(absent.tolist()[::-1], present.tolist()[::-1], strict=True):
        hits, seen = hits + positive, seen + positive + negative
        if positive:
            steps.append(positive * hits / seen)
    return math.fsum(steps) / hits if hits else math.nan


def mean(values: Iterable[float]) -> float:
    """Mean of those values that are defined; NaN where none is."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def std(values: Sequence[float]) -> float:
    """Standard deviation (n - 1 below) of values; 0 for a single one."""
    if len(values) < 2:
        return 0.0
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def macro_mean(per_fold_and_au: Floats) -> float:
    """Mean over AUs, then over folds, of (F, A)."""
    return mean(mean(row) for row in per_fold_and_au.tolist())


def by_au(per_fold_and_au: Floats) -> list[float]:
    """Mean over folds of (F, A), one value an AU."""
    return [mean(column) for column in per_fold_and_au.T.tolist()]


def histogram_metric(
    histograms: pd.DataFrame,
    measure: Callable[[Ints, Ints], float],
    totals: ConfusionCounts,
    condition: str = counts_file.CLEAN,
) -> Floats:
    """A measure of order, per fold and AU.

    Args:
        histograms: Histograms of probability.
        measure: :func:`auc` or :func:`average_precision`.
        totals: Which folds and AUs.
        condition: Which condition.

    Returns:
        (F, A), NaN where undefined or where the histograms lack the fold or AU.
    """
    chosen = histograms[histograms["condition"] == condition].set_index(["fold", "au", "label"])[histograms_file.CELLS]
    rows = dict(zip(chosen.index, chosen.to_numpy(np.int64), strict=True))
    nothing = np.zeros(histograms_file.BINS, np.int64)
    return np.array(
        [
            [measure(rows.get((fold, au, 0), nothing), rows.get((fold, au, 1), nothing)) for au in totals.aus]
            for fold in totals.folds
        ]
    )


def summarize(counts: pd.DataFrame, histograms: pd.DataFrame) -> Summary:
    """The headline numbers of a record, from its tables alone.

    Args:
        counts: Confusion counts.
        histograms: Histograms of probability.

    Returns:
        The numbers under the clean condition, rounded to six decimals.
    """
    totals = sum_over_subjects(counts)
    f1s, accs = f1(totals.cells), accuracy(totals.cells)
    aucs, aps = histogram_metric(histograms, auc, totals), histogram_metric(histograms, average_precision, totals)
    names = [f"AU{au}" for au in totals.aus]

    def named(values: Floats) -> dict[str, float | None]:
        return dict(zip(names, map(_rounded, by_au(values)), strict=True))

    return Summary(
        f1_mean=round(macro_mean(f1s), DIGITS),
        f1_pooled=round(mean(f1(totals.pooled).tolist()), DIGITS),
        acc=_rounded(macro_mean(accs)),
        auc=_rounded(macro_mean(aucs)),
        ap=_rounded(macro_mean(aps)),
        f1_by_fold=tuple(round(mean(row), DIGITS) for row in f1s.tolist()),
        f1_by_au={name: round(value, DIGITS) for name, value in zip(names, by_au(f1s), strict=True)},
        acc_by_au=named(accs),
        auc_by_au=named(aucs),
        ap_by_au=named(aps),
    )


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DIGITS)
