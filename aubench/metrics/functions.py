"""Functions of counts and histograms, and exact means.

Sums are exact (``math.fsum``), so results are equal on every platform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import add

import numpy as np
import numpy.typing as npt
import pandas as pd

from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ConfusionCounts:
    """Counts of one condition, summed over subjects.

    Attributes:
        folds: Folds present, ascending.
        aus: AUs present, ascending.
        cells: int64 (F, A, 4): TP, FP, FN, TN.
    """

    folds: tuple[int, ...]
    aus: tuple[int, ...]
    cells: Ints

    @property
    def pooled(self) -> Ints:
        """Sum over folds (A, 4)."""
        return np.asarray(self.cells.sum(axis=0))


def sum_over_subjects(counts: pd.DataFrame, condition: str = counts_file.CLEAN) -> ConfusionCounts:
    """Sum the counts of ``condition`` over subjects."""
    chosen = (counts["condition"] == condition).to_numpy()
    (folds, fold), (aus, au) = (
        np.unique(counts[name].to_numpy(np.int64)[chosen], return_inverse=True) for name in ("fold", "au")
    )
    cells = np.zeros((len(folds), len(aus), 4), np.int64)
    np.add.at(cells, (fold, au), counts[counts_file.CELLS].to_numpy(np.int64)[chosen])
    return ConfusionCounts(tuple(folds.tolist()), tuple(aus.tolist()), cells)


def f1(cells: npt.NDArray[np.integer | np.floating]) -> Floats:
    """Compute F1 of counts (…, 4); 0 where undefined."""
    tp, fp, fn = (cells[..., i].astype(np.float64) for i in range(3))
    denominator = 2 * tp + fp + fn
    return np.asarray(np.divide(2 * tp, denominator, out=np.zeros_like(denominator), where=denominator > 0))


def accuracy(cells: npt.NDArray[np.integer | np.floating]) -> Floats:
    """Compute the accuracy of counts (…, 4); NaN without known labels."""
    total = cells.sum(axis=-1).astype(np.float64)
    correct = np.asarray(cells[..., 0] + cells[..., 3], np.float64)
    return np.asarray(np.divide(correct, total, out=np.full_like(total, np.nan), where=total > 0))


def auc(negatives: Ints, positives: Ints) -> float:
    """Compute the area under the ROC curve.

    Args:
        negatives: Frames with label 0 per probability bin, ascending.
        positives: Frames with label 1 per probability bin, ascending.

    Returns:
        The share of (positive, negative) pairs in the right order, where a pair within one bin counts half. NaN if a
        class is absent.
    """
    negative, positive = negatives.tolist(), positives.tolist()
    below = list(accumulate(negative, initial=0))
    doubled = sum(p * (b + c) for p, b, c in zip(positive, below, below[1:], strict=False) if p)
    pairs = below[-1] * sum(positive)
    return doubled / (2 * pairs) if pairs else math.nan


def average_precision(negatives: Ints, positives: Ints) -> float:
    """Compute the average precision.

    Args:
        negatives: Frames with label 0 per probability bin, ascending.
        positives: Frames with label 1 per probability bin, ascending.

    Returns:
        The sum, from the highest bin to the lowest, of precision times the step in recall, one step per bin. NaN
        without positive labels.
    """
    negative, positive = negatives.tolist()[::-1], positives.tolist()[::-1]
    hits, totals = list(accumulate(positive)), accumulate(map(add, negative, positive))
    steps = [p * hit / total for p, hit, total in zip(positive, hits, totals, strict=True) if p]
    return math.fsum(steps) / hits[-1] if steps else math.nan


def mean(values: Iterable[float]) -> float:
    """Compute the mean of the values that are not NaN; NaN if there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def std(values: Sequence[float]) -> float:
    """Compute the sample standard deviation (n - 1); 0 for a single value."""
    if len(values) < 2:
        return 0.0
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def macro_mean(values: Floats) -> float:
    """Compute the mean over AUs, then over folds, of (F, A)."""
    return mean(mean(row) for row in values.tolist())


def by_au(values: Floats) -> list[float]:
    """Compute the mean over folds of (F, A) for each AU."""
    return [mean(column) for column in values.T.tolist()]


def histogram_metric(
    histograms: pd.DataFrame,
    function: Callable[[Ints, Ints], float],
    totals: ConfusionCounts,
    condition: str = counts_file.CLEAN,
) -> Floats:
    """Compute a function of two histograms per fold and AU.

    Args:
        histograms: Histograms of predicted probability.
        function: Function of the histograms of negative and positive frames, e.g. :func:`auc`.
        totals: Counts that name the folds and AUs.
        condition: Test condition.

    Returns:
        (F, A), NaN where undefined or where the histograms lack the fold or AU.
    """
    chosen = (histograms["condition"] == condition).to_numpy()
    keys = zip(*(histograms[name].to_numpy()[chosen].tolist() for name in ("fold", "au", "label")), strict=True)
    bins = dict(zip(keys, histograms_file.bins(histograms)[chosen], strict=True))
    empty = np.zeros(histograms_file.BINS, np.int64)
    return np.array(
        [
            [function(bins.get((fold, au, 0), empty), bins.get((fold, au, 1), empty)) for au in totals.aus]
            for fold in totals.folds
        ],
        np.float64,
    )
