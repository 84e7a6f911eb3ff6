"""Measured counterparts of reported rows and figures, as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aubench.core.errors import RecordError
from aubench.leaderboard.render import EMPTY
from aubench.leaderboard.tables import modality_code
from aubench.metrics import scores
from aubench.metrics.intervals import confidence_intervals, f1_interval
from aubench.metrics.resampling import subject_contributions
from aubench.papers.reported import COSTS, ReportedRow, ReportedTable
from aubench.results.record import Record
from aubench.results.run_costs import Cost


@dataclass(frozen=True)
class MeasuredResult:
    """Measured counterpart of a reported row.

    Attributes:
        records: Records of runs that differ in their seed only.
        cost: Computed cost, for rows that report operations.
        reason: Reason why there is neither.
    """

    records: tuple[Record, ...] = ()
    cost: Cost | None = None
    reason: str = ""


@dataclass(frozen=True)
class FigurePoint:
    """Row of a figure's table of numbers.

    Attributes:
        label: Label of the row.
        condition: Test condition.
        records: Records of runs that differ in their seed only.
    """

    label: str
    condition: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class MeasuredNumbers:
    """Measured numbers in the table's unit; ``mean`` is None if an AU of the row has no score."""

    by_au: dict[int, float] = field(default_factory=dict)
    mean: float | None = None
    interval: str = EMPTY
    low: float | None = None
    high: float | None = None


def measure(row: ReportedRow, aus: Sequence[int], result: MeasuredResult) -> MeasuredNumbers:
    """Compute the measured numbers of a row.

    Args:
        row: Reported row.
        aus: AUs of the table; empty if it reports means only.
        result: Measured counterpart of the row.

    Raises:
        RecordError: The records score no AU of the table, or differ in more than their seed.
    """
    if row.metric in COSTS:
        return MeasuredNumbers(mean=getattr(result.cost, COSTS[row.metric]) / 1e9 if result.cost else None)
    scored = set(result.records[0].info.protocol.aus)
    common = sorted(scored & set(aus)) if aus else sorted(scored)
    if not common:
        raise RecordError("scores no AU of the table", where=result.records[0].relative_path)
    tables = [record.counts[record.counts["au"].isin(common)] for record in result.records]
    if row.metric == "f1":
        *per_au, mean = confidence_intervals(subject_contributions(tables, row.condition))
        by_au = {au: 100 * value.estimate for au, value in zip(common, per_au, strict=True)}
        if not set(aus) <= scored:
            return MeasuredNumbers(by_au)
        low, high = 100 * mean.low, 100 * mean.high
        return MeasuredNumbers(by_au, 100 * mean.estimate, f"{low:.1f} to {high:.1f}", low, high)
    cells = [scores.accuracy(scores.sum_over_subjects(counts, row.condition).cells) for counts in tables]
    by_au = {au: 100 * scores.mean(scores.by_au(each)[i] for each in cells) for i, au in enumerate(common)}
    by_au = {au: value for au, value in by_au.items() if not math.isnan(value)}
    folds = [scores.mean(fold) for each in cells for fold in each.tolist()]
    if not by_au or not set(aus) <= set(by_au):
        return MeasuredNumbers(by_au)
    std = scores.std(folds)
    return MeasuredNumbers(by_au, 100 * scores.mean(folds), EMPTY if std is None else f"± {100 * std:.1f}")


def point_f1(point: FigurePoint) -> tuple[float, float, float]:
    """Return F1 and its 95 % interval in %."""
    interval = f1_interval([record.counts for record in point.records], point.condition)
    return 100 * interval.estimate, 100 * interval.low, 100 * interval.high


class ExhibitRow(NamedTuple):
    """Row of a table, or point of a figure, as data: reported and measured mean in the table's unit."""

    exhibit: str
    row: str = ""
    method: str = ""
    modalities: str = ""
    dataset: str = ""
    condition: str = ""
    metric: str = ""
    reported: float | None = None
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    runs: str = ""
    reason: str = ""


def mean_rows(exhibit: str, table: ReportedTable, measured: Sequence[MeasuredResult]) -> list[ExhibitRow]:
    """Return the means of each row of a table.

    Args:
        exhibit: Name of the exhibit.
        table: Table as reported.
        measured: Measured counterpart of each row, in the order of the rows.
    """
    rows = []
    for row, result in zip(table.rows, measured, strict=True):
        numbers = MeasuredNumbers() if result.reason else measure(row, table.aus, result)
        label, letters = ", ".join(filter(None, [row.method, row.variant])), modality_code(row.modalities)
        values = (label, row.method_here, letters, row.dataset, row.condition, row.metric, row.mean)
        bounds = (numbers.low, numbers.high)
        rows.append(ExhibitRow(exhibit, *values, numbers.mean, *bounds, _run_ids(result.records), result.reason))
    return rows


def point_rows(exhibit: str, points: Sequence[FigurePoint]) -> list[ExhibitRow]:
    """Return the F1 of each point of a figure in %."""
    rows = []
    for point in points:
        info = point.records[0].info
        values = (point.label, info.method.name, modality_code(info.method.modalities), info.dataset.name)
        numbers = (None, *point_f1(point))
        rows.append(ExhibitRow(exhibit, *values, point.condition, "f1", *numbers, _run_ids(point.records)))
    return rows


def _run_ids(records: Sequence[Record]) -> str:
    return " ".join(record.info.run for record in records)
