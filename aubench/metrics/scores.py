"""Metrics computed from counts and histograms, their registry, and the summary of a record.

A metric is computed per fold and AU over the frames of the fold's test role, then averaged over AUs, then over folds.
F1 is 0 where it is undefined (no positive label and no positive prediction). Other metrics are left out of means where
they are undefined.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from aubench.core.errors import UsageError
from aubench.core.hook_errors import convert_errors
from aubench.core.plugins import Registry
from aubench.metrics import column_names
from aubench.metrics.functions import (
    ConfusionCounts,
    Floats,
    Ints,
    accuracy,
    auc,
    average_precision,
    by_au,
    f1,
    histogram_cells,
    histogram_metric,
    macro_mean,
    mean,
    std,
    sum_over_subjects,
)
from aubench.results import counts as counts_file
from aubench.results.record import Record
from aubench.results.schema import StoredSummary

__all__ = [
    "METRICS",
    "ConfusionCounts",
    "Metric",
    "MetricSummary",
    "Summary",
    "accuracy",
    "auc",
    "average_precision",
    "by_au",
    "column_metrics",
    "f1",
    "histogram_metric",
    "macro_mean",
    "mean",
    "std",
    "sum_over_subjects",
    "summarize",
    "summarize_cells",
    "summary_of",
]

_TITLE = re.compile(r"\w[\w %().,:/+-]{0,39}")
_TITLE_HINT = "use at most 40 letters, digits, spaces and %().,:/+-, and begin with a letter or digit"
DIGITS = 6
"""Decimals of the values in a summary."""


@dataclass(frozen=True)
class Metric:
    """Metric of a finished run.

    A module-level instance in a plug-in file, or behind an entry point of the group ``aubench.metrics``, adds one.

    Attributes:
        name: Lower-case identifier, used as key in summaries, ``result.json`` and MLflow, which no other column has.
        title: Column header of at most 40 letters, digits, spaces and ``%().,:/+-``, which no other column has.
        description: One line for the documentation.
        source: Table that the metric is computed from.
        function: For ``counts``: maps confusion counts (F, A, 4), in the order TP, FP, FN, TN, to (F, A), NaN where
            undefined. For ``histograms``: maps the histograms of negative and positive frames (200 bins each) of one
            fold and AU to a float. Infinite values count as undefined.
        higher_is_better: Whether tables print the largest value bold, otherwise the smallest.
        column: Whether leaderboard tables and the summary of ``aubench run`` have a column for it.
        pooled: Whether the counts of all folds are added first (F = 1). A pooled metric has no values per fold.
    """

    name: str
    title: str
    description: str
    source: Literal["counts", "histograms"]
    function: Callable[..., Any]
    higher_is_better: bool = True
    column: bool = True
    pooled: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", self.name):
            raise UsageError(f"metric name '{self.name}' is invalid", hint="use lower-case letters, digits and _")
        if not isinstance(self.title, str) or not _TITLE.fullmatch(self.title):
            raise UsageError(f"metric '{self.name}': title {self.title!r} cannot be a column header", hint=_TITLE_HINT)
        for value, is_taken in (
            (f"name '{self.name}'", column_names.is_other_column(self.name)),
            (f"title '{self.title}'", column_names.is_other_header(self.title)),
        ):
            if is_taken:
                raise UsageError(f"metric '{self.name}': {value} is that of another column", hint="choose another")
        if self.source not in ("counts", "histograms"):
            raise UsageError(f"metric '{self.name}': source '{self.source}' is neither 'counts' nor 'histograms'")
        if self.pooled and self.source != "counts":
            raise UsageError(f"metric '{self.name}': only a metric of counts can be pooled")

    def compute(self, totals: ConfusionCounts, histograms: pd.DataFrame, condition: str = counts_file.CLEAN) -> Floats:
        """Compute the metric per fold and AU (F, A).

        Raises:
            UsageError: The metric's function fails, or returns an array of another shape.
        """
        return self.compute_cells(totals, histogram_cells(histograms, totals, condition))

    def compute_cells(self, totals: ConfusionCounts, histograms: Ints) -> Floats:
        """Compute the metric per fold and AU (F, A) from histograms as an array (F, A, 2, 200).

        Raises:
            UsageError: As :meth:`compute`.
        """
        undefined = np.errstate(divide="ignore", invalid="ignore")
        with convert_errors(self.function, f"metric '{self.name}'", UsageError), undefined:
            values = self._values(totals, histograms)
        return np.where(np.isfinite(values), values, np.nan)

    def _values(self, totals: ConfusionCounts, histograms: Ints) -> Floats:
        if self.source == "histograms":
            return histogram_metric(histograms, self.function)
        cells = totals.pooled[None] if self.pooled else totals.cells
        values = np.asarray(self.function(cells.copy()), np.float64)  # all metrics share the cells
        if values.shape != cells.shape[:-1]:
            raise UsageError(f"metric '{self.name}' returns shape {values.shape} for counts of shape {cells.shape}")
        return values


F1 = Metric("f1", "F1", "F1 per AU and fold, mean over AUs, then over folds; 0 where undefined", "counts", f1)
F1_POOLED = Metric(
    "f1_pooled", "F1 pooled", "F1 per AU over the frames of all folds, mean over AUs", "counts", f1, pooled=True
)
ACC = Metric("acc", "ACC", "Share of correct predictions, mean over AUs, then over folds", "counts", accuracy)
AUC = Metric(
    "auc",
    "AUC",
    "Area under the ROC curve of probabilities in steps of 0.005, mean over AUs, then folds",
    "histograms",
    auc,
)
AP = Metric(
    "ap", "AP", "Average precision, mean over AUs, then over folds", "histograms", average_precision, column=False
)

METRICS = Registry(
    "metric",
    Metric,
    "aubench.metrics",
    {name: f"{__name__}:{name.upper()}" for name in ("f1", "f1_pooled", "acc", "auc", "ap")},
)
"""All metrics: built-in ones, those of installed packages, and those of the files in ``AUBENCH_PLUGINS``."""


@dataclass(frozen=True)
class MetricSummary:
    """Values of one metric, as fractions rounded to six decimals; None where undefined.

    Attributes:
        mean: Mean over AUs, then over folds.
        by_fold: Mean over AUs of each fold, in the order of the folds.
        by_au: Mean over folds of each AU, by name (``AU1``).
    """

    mean: float | None
    by_fold: tuple[float | None, ...]
    by_au: dict[str, float | None]


@dataclass(frozen=True)
class Summary:
    """Values of all metrics under clean inputs, by metric name in the order of the registry."""

    metrics: dict[str, MetricSummary]

    def value(self, name: str) -> float | None:
        """Return the mean of a metric; None where undefined."""
        return self.metrics[name].mean

    def by_fold(self, name: str) -> tuple[float | None, ...]:
        """Return the mean over AUs of each fold."""
        return self.metrics[name].by_fold

    def by_au(self, name: str) -> dict[str, float | None]:
        """Return the mean over folds of each AU."""
        return self.metrics[name].by_au

    @property
    def f1_mean(self) -> float:
        """Headline F1."""
        return _defined([self.value("f1")])[0]

    @property
    def f1_by_fold(self) -> tuple[float, ...]:
        """F1 of each fold."""
        return tuple(_defined(self.by_fold("f1")))

    @property
    def f1_by_au(self) -> dict[str, float]:
        """F1 of each AU."""
        return dict(zip(self.by_au("f1"), _defined(self.by_au("f1").values()), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the mean of each metric that is not pooled, and under ``per_au`` those metrics of each AU."""
        names = [name for name in self.metrics if not METRICS.get(name).pooled]
        per_au = {au: {name: self.by_au(name)[au] for name in names} for au in self.by_au("f1")}
        return {**{name: self.value(name) for name in names}, "per_au": per_au}

    def to_stored(self) -> StoredSummary:
        """Return the built-in metrics in the form that records of schema 1 store."""
        return StoredSummary(
            f1_mean=self.f1_mean,
            f1_pooled=_defined([self.value("f1_pooled")])[0],
            acc=self.value("acc"),
            auc=self.value("auc"),
            ap=self.value("ap"),
            f1_by_fold=self.f1_by_fold,
            f1_by_au=self.f1_by_au,
            acc_by_au=self.by_au("acc"),
            auc_by_au=self.by_au("auc"),
            ap_by_au=self.by_au("ap"),
        )


def column_metrics() -> list[Metric]:
    """List the metrics that tables have a column for.

    Raises:
        UsageError: Two of them have one title.
    """
    metrics = [metric for metric in METRICS.all().values() if metric.column]
    first: dict[str, Metric] = {}
    for metric in metrics:
        if (other := first.setdefault(metric.title.casefold(), metric)) is not metric:
            what = f"metric '{metric.name}': title '{metric.title}' is that of the metric '{other.name}'"
            raise UsageError(what, hint="choose another")
    return metrics


def summarize(counts: pd.DataFrame, histograms: pd.DataFrame) -> Summary:
    """Compute all metrics under the clean condition from confusion counts and histograms of predicted probability."""
    totals = sum_over_subjects(counts)
    return summarize_cells(totals, histogram_cells(histograms, totals))


def summarize_cells(totals: ConfusionCounts, cells: Ints) -> Summary:
    """Compute all metrics from counts and histograms as arrays (F, A, 2, 200)."""
    return Summary(
        {name: _summarize(metric.compute_cells(totals, cells), totals) for name, metric in METRICS.all().items()}
    )


_summaries: WeakKeyDictionary[Record, Summary] = WeakKeyDictionary()


def summary_of(record: Record) -> Summary:
    """Compute the summary of a record, once per record and set of metrics."""
    summary = _summaries.get(record)
    if summary is None or list(summary.metrics) != METRICS.names():
        summary = _summaries[record] = summarize(record.counts, record.histograms)
    return summary


def _summarize(values: Floats, totals: ConfusionCounts) -> MetricSummary:
    names = [f"AU{au}" for au in totals.aus]
    return MetricSummary(
        _rounded(macro_mean(values)),
        tuple(_rounded(mean(row)) for row in values.tolist()),
        dict(zip(names, map(_rounded, by_au(values)), strict=True)),
    )


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DIGITS)


def _defined(values: Iterable[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]
