"""Numbers behind the charts of a board: F1 with intervals, seeds, cost, robustness and learning curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from aubench.core.conditions import ALL, CLEAN, FILLS, Condition
from aubench.core.errors import UsageError
from aubench.leaderboard import tables
from aubench.leaderboard.curve_points import LearningCurve, common_frames
from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.learning_curves import learning_curves
from aubench.leaderboard.site.row_details import row_id
from aubench.metrics import robustness_profile, scores
from aubench.metrics.intervals import ConfidenceInterval

_CURVE_POINTS = 41
_DIGITS = 4
MISSING = "missing"
"""Kind of the conditions without some modalities."""


def chart_rows(table: RankedTable) -> list[dict[str, Any]]:
    """List the methods of a table as flat dictionaries; F1 is in percent, time in hours.

    Missing values are None. ``pareto_gflops`` and ``pareto_hours`` say whether no other method is better at a lower or
    equal cost, or as good at a lower cost.
    """
    names = tables.unique_names(table.methods)
    ambiguous = _ambiguous_corruptions(table.methods)
    rows = [_row(name, entry, ambiguous) for name, entry in zip(names, table.methods, strict=True)]
    for cost in ("gflops", "hours"):
        _mark_pareto_front(rows, cost)
    return rows


def _row(name: str, entry: Entry, ambiguous: Collection[str]) -> dict[str, Any]:
    compute = entry.info.compute
    return {
        "id": row_id(entry),
        "name": name,
        "modalities": tables.modality_code(entry.info.method.modalities),
        **_bounds(entry.f1_interval),
        "seeds": [[run.info.seed, _percent(run.summary.f1_mean)] for run in entry.runs],
        "rank": entry.rank,
        "last_rank": entry.last_rank,
        "gflops": compute and float(f"{compute.total.flops / 1e9:.6g}"),
        "hours": _hours(entry),
        "learning": _learning_curve(learning_curves(entry)),
        "robustness": _robustness(entry, ambiguous),
    }


def _bounds(interval: ConfidenceInterval | None) -> dict[str, float | None]:
    if interval is None:
        return {"f1": None, "low": None, "high": None}
    return {"f1": _percent(interval.estimate), "low": _percent(interval.low), "high": _percent(interval.high)}


def _percent(value: float) -> float:
    return round(100 * value, _DIGITS)


def _hours(entry: Entry) -> float | None:
    """Average the working time of the runs over seeds; None if a record does not state it."""
    times = [run.info.time for run in entry.runs]
    return None if None in times else round(scores.mean(time.seconds for time in times if time) / 3600, 4)


def _mark_pareto_front(rows: Sequence[dict[str, Any]], cost: str) -> None:
    best: tuple[float, float | None] = (-1.0, None)
    for row in sorted(rows, key=lambda row: (row[cost] is None, row[cost] or 0.0, -row["f1"])):
        point = (row["f1"], row[cost])
        row[f"pareto_{cost}"] = row[cost] is not None and (row["f1"] > best[0] or point == best)
        best = point if row["f1"] > best[0] else best


def _learning_curve(curves: Sequence[LearningCurve]) -> list[list[float]]:
    """Average curves over folds and seeds: pairs of thousands of frames and F1, from the first epoch of all on."""
    if not curves:
        return []
    frames = common_frames(curves)
    if len(frames) > _CURVE_POINTS:
        frames = np.linspace(frames[0], frames[-1], _CURVE_POINTS)
    f1 = np.stack([curve.at(frames) for curve in curves]).mean(axis=0)
    return [[round(x / 1000, 3), _percent(y)] for x, y in zip(frames.tolist(), f1.tolist(), strict=True)]


def _ambiguous_corruptions(entries: Sequence[Entry]) -> set[str]:
    """Return the names of plug-in corruptions that have different code in different runs."""
    codes = {code for entry in entries for run in entry.runs for code in run.info.corruptions.items()}
    return {name for name, count in Counter(name for name, _ in codes).items() if count > 1}


def _robustness(entry: Entry, ambiguous: Collection[str] = ()) -> list[dict[str, Any]]:
    """List F1 under the conditions of the entry.

    ``series`` is a corruption with its modalities, ``x`` its level; for missing modalities ``x`` is the condition. The
    name of an ambiguous corruption is followed by the first characters of the SHA-256 of its code. Conditions of
    plug-in corruptions that are not loaded have no points.
    """
    known = (condition for condition in map(_parsed, entry.conditions - {str(CLEAN)}) if condition)
    conditions = sorted(known, key=robustness_profile.condition_sort_key)
    codes = {kind: f" ({code[:8]})" for kind, code in entry.info.corruptions.items() if kind in ambiguous}
    points = [_condition_point(entry, condition, codes.get(condition.kind, "")) for condition in conditions]
    series = dict.fromkeys(point["series"] for point in points)
    clean = {
        name: {"series": name, "x": "clean" if name == MISSING else 0.0, "f1": _percent(entry.f1)} for name in series
    }
    return [point for name in series for point in (clean[name], *(p for p in points if p["series"] == name))]


def _parsed(text: str) -> Condition | None:
    try:
        return Condition.parse(text)
    except UsageError:
        return None


def _condition_point(entry: Entry, condition: Condition, code: str) -> dict[str, Any]:
    f1 = _percent(entry.condition_f1(str(condition)))
    target = "+".join(condition.modalities) or ALL
    if condition.kind == MISSING:
        fill = condition.corruption.kind
        return {"series": MISSING, "x": f"no {target}" + (f" ({fill})" if fill != FILLS[0] else ""), "f1": f1}
    return {"series": f"{condition.kind}{code}:{target}", "x": condition.corruption.level, "f1": f1}
