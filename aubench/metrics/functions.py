"""Functions of counts and histograms, and exact means.

Sums are exact (``math.fsum``), so results are equal on every platform.
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

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_EXACT = 2**53
"""Larger integers are not exact as floating-point numbers."""


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
    np.add.at(cells, (fold, au), counts_file.cells(counts)[chosen])
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
    pairs = int(negatives.sum()) * int(positives.sum())
    if pairs >= _EXACT:
        negatives, positives = negatives.astype(object), positives.astype(object)
    below = negatives.cumsum()
    return int(positives @ (2 * below - negatives)) / (2 * pairs) if pairs else math.nan


def average_precision(negatives: Ints, positives: Ints) -> float:
    """Compute the average precision.

    Args:
        negatives: Frames with label 0 per probability bin, ascending.
        positives: Frames with label 1 per probability bin, ascending.

    Returns:
        The sum, from the highest bin to the lowest, of precision times the step in recall, one step per bin. NaN
        without positive labels.
    """
    if int(positives.sum()) ** 2 >= _EXACT:
        negatives, positives = negatives.astype(object), positives.astype(object)
    total, hits = (negatives + positives)[::-1].cumsum(), positives[::-1].cumsum()
    bins = np.flatnonzero(positives[::-1])
    steps = positives[::-1][bins] * hits[bins] / total[bins]
    return math.fsum(steps.tolist()) / int(hits[-1]) if bins.size else math.nan


def mean(values: Iterable[float]) -> float:
    """Compute the mean of the values that are not NaN; NaN if there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def std(values: Sequence[float]) -> float | None:
    """Compute the sample standard deviation (n - 1) of the values that are not NaN; None for fewer than two."""
    defined = [value for value in values if not math.isnan(value)]
    if len(defined) < 2:
        return None
    centre = mean(defined)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in defined) / (len(defined) - 1))


def macro_mean(values: Floats) -> float:
    """Compute the mean over AUs, then over folds, of (F, A)."""
    return mean(mean(row) for row in values.tolist())


def by_au(values: Floats) -> list[float]:
    """Compute the mean over folds of (F, A) for each AU."""
    return [mean(column) for column in values.T.tolist()]


def histogram_cells(histograms: pd.DataFrame, totals: ConfusionCounts, condition: str = counts_file.CLEAN) -> Ints:
    """Return the histograms of one condition as an array.

    Args:
        histograms: Histograms of predicted probability.
        totals: Counts that name the folds and AUs.
        condition: Test condition.

    Returns:
        (F, A, 2, 200): for each fold and AU the frames with label 0 and 1 per bin, 0 where the histograms lack it.
    """
    fold, au, label = (histograms[name].to_numpy(np.int64) for name in ("fold", "au", "label"))
    chosen = (histograms["condition"] == condition).to_numpy() & np.isin(fold, totals.folds) & np.isin(au, totals.aus)
    cells = np.zeros((len(totals.folds), len(totals.aus), 2, histograms_file.BINS), np.int64)
    indices = np.searchsorted(totals.folds, fold[chosen]), np.searchsorted(totals.aus, au[chosen]), label[chosen]
    cells[indices] = histograms_file.bins(histograms)[chosen]
    return cells


def histogram_metric(cells: Ints, function: Callable[[Ints, Ints], float]) -> Floats:
    """Compute a function of two histograms per fold and AU.

    Args:
        cells: Histograms as from :func:`histogram_cells` (F, A, 2, 200).
        function: Function of the histograms of negative and positive frames, e.g. :func:`auc`.

    Returns:
        (F, A), NaN where undefined.
    """
    if function in _OF_ALL and cells.sum(axis=-1).max(initial=0) < _SMALL:
        return _OF_ALL[function](cells[:, :, 0], cells[:, :, 1])
    return np.array([[function(*pair) for pair in fold] for fold in cells.copy()], np.float64).reshape(cells.shape[:2])


def _all_auc(negatives: Ints, positives: Ints) -> Floats:
    """Compute :func:`auc` of histograms (F, A, 200) with exact integers."""
    ordered = (positives * (2 * negatives.cumsum(axis=-1) - negatives)).sum(axis=-1)
    pairs = negatives.sum(axis=-1) * positives.sum(axis=-1)
    return np.asarray(np.divide(ordered, 2 * pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0))


def _all_average_precision(negatives: Ints, positives: Ints) -> Floats:
    """Compute :func:`average_precision` of histograms (F, A, 200)."""
    descending = positives[..., ::-1]
    total, hits = (negatives + positives)[..., ::-1].cumsum(axis=-1), descending.cumsum(axis=-1)
    steps = np.divide(descending * hits, total, out=np.zeros(total.shape), where=descending > 0)
    sums = np.array([[math.fsum(row) for row in fold] for fold in steps.tolist()]).reshape(hits.shape[:2])
    known = hits[..., -1]
    return np.asarray(np.divide(sums, known, out=np.full(sums.shape, np.nan), where=known > 0))


_OF_ALL = {auc: _all_auc, average_precision: _all_average_precision}
_SMALL = 2**25
"""Number of frames under which products of two numbers of frames are exact as floating-point numbers."""
