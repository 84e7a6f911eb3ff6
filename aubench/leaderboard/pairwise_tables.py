"""Comparison as Markdown, LaTeX, CSV or DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from aubench.leaderboard.pairwise import MEAN, Comparison, PairwiseResult, RankedMethod
from aubench.leaderboard.render import EMPTY, Block, Cell, Table, latex, markdown, template
from aubench.metrics import significance
from aubench.metrics.intervals import ConfidenceInterval
from aubench.results import csv_io

_Columns = Sequence[tuple[str, str, Callable[[PairwiseResult], str]]]
"""Header, alignment and formatting function of each column."""


def render(comparison: Comparison, form: str) -> str:
    """Format a comparison in one of ``render.FORMATS``; CSV has all results in one table, F1 as fractions."""
    if form == "csv":
        return csv_io.table_text(to_dataframe(comparison))
    return {"markdown": markdown, "latex": latex}[form](_blocks(comparison))


def _blocks(comparison: Comparison) -> list[Block]:
    texts = template("comparison")
    return [
        "# Comparison",
        comparison.description,
        _standings(comparison.standings),
        texts["standings"],
        *texts["means"].split("\n\n"),
        _results(comparison.means, _DIFFERENCE),
        texts["scores"],
        _scores(comparison),
        *texts["differences"].split("\n\n"),
        _results(comparison.differences, [("AU", "left", lambda result: result.au), *_DIFFERENCE]),
    ]


def _standings(standings: Sequence[RankedMethod]) -> Table:
    headers = ("Rank", "Method", "Modalities", "F1", "95 % interval", "Seeds", "± over seeds")
    rows = [
        (
            str(method.rank),
            method.result.method,
            method.modalities,
            _percent(method.result.interval.estimate),
            _range(method.result.interval),
            str(len(method.by_seed)),
            EMPTY if method.deviation is None else _percent(method.deviation),
        )
        for method in standings
    ]
    align = ("right", "left", "left", "right", "right", "right", "right")
    return Table(headers, align, tuple(tuple(map(Cell, row)) for row in rows))


def _scores(comparison: Comparison) -> Table:
    by_method: dict[str, list[PairwiseResult]] = {}
    for result in comparison.scores:
        by_method.setdefault(result.method, []).append(result)
    aus = [result.au for result in next(iter(by_method.values()))]
    rows = [[method, *(_percent(r.interval.estimate) for r in results)] for method, results in by_method.items()]
    return Table(("Method", *aus), ("left", *("right" for _ in aus)), tuple(tuple(map(Cell, row)) for row in rows))


def _results(results: Sequence[PairwiseResult], columns: _Columns) -> Table:
    rows = tuple(tuple(Cell(show(result)) for _, _, show in columns) for result in results)
    return Table(tuple(header for header, _, _ in columns), tuple(align for _, align, _ in columns), rows)


def _percent(value: float, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}"


def _range(interval: ConfidenceInterval, sign: str = "") -> str:
    return f"{_percent(interval.low, sign)} to {_percent(interval.high, sign)}"


def _p(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.4f}" if value >= 0.0001 else f"{value:.0e}"


_DIFFERENCE: _Columns = [
    ("Method", "left", lambda result: result.method),
    ("Minus", "left", lambda result: result.reference or EMPTY),
    ("Difference", "right", lambda result: _percent(result.interval.estimate, "+")),
    ("95 % interval", "right", lambda result: _range(result.interval, "+")),
    ("p", "right", lambda result: _p(result.p)),
    ("p (Holm)", "right", lambda result: _p(result.p_corrected)),
    ("Significant", "left", lambda result: "yes" if (result.p_corrected or 0) < significance.ALPHA else "no"),
]


def to_dataframe(comparison: Comparison) -> pd.DataFrame:
    """Return all results in one table, F1 as fractions rounded to six decimals."""
    ranked = {method.result.method: method for method in comparison.standings}
    means = [method.result for method in comparison.standings]
    rows = []
    for result in [*means, *comparison.scores, *comparison.means, *comparison.differences]:
        method = ranked[result.method] if result.reference is None and result.au == MEAN else None
        rows.append(
            {
                "method": result.method,
                "minus": result.reference,
                "au": result.au,
                "f1": result.interval.estimate,
                "low": result.interval.low,
                "high": result.interval.high,
                "p": result.p,
                "p_holm": result.p_corrected,
                "seeds": len(method.by_seed) if method else None,
                "seed_deviation": method.deviation if method else None,
                "rank": method.rank if method else None,
            }
        )
    return pd.DataFrame(rows).astype({"seeds": "Int64", "rank": "Int64"}).round(6)
