"""Comparison as Markdown, LaTeX, CSV or DataFrame."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from aubench.leaderboard import tables
from aubench.leaderboard.pairwise import MEAN, Comparison, PairwiseResult, RankedMethod
from aubench.leaderboard.render import EMPTY, Block, Table, latex, markdown, template, text_table
from aubench.metrics import significance
from aubench.metrics.intervals import ConfidenceInterval
from aubench.results import csv_io


def render(comparison: Comparison, form: str) -> str:
    """Format a comparison in one of ``render.FORMATS``; CSV has all results in one table, F1 as fractions."""
    if form == "csv":
        return csv_io.table_text(to_dataframe(comparison))
    texts = template("comparison")
    blocks: list[Block] = [
        "# Comparison",
        comparison.description,
        *comparison.outdated,
        _standings(comparison.standings),
        texts["standings"],
        *texts["means"].split("\n\n"),
        _differences(comparison.means),
        texts["scores"],
        _scores(comparison.scores),
        *texts["differences"].split("\n\n"),
        _differences(comparison.differences, by_au=True),
    ]
    return {"markdown": markdown, "latex": latex}[form](blocks)


def _standings(standings: Sequence[RankedMethod]) -> Table:
    headers = ("Rank", "Method", "Modalities", "Preset", "F1", "95 % interval", "Seeds", "± over seeds")
    rows = [
        (
            str(method.rank),
            method.result.method,
            method.modalities,
            method.preset,
            tables.percent(method.result.interval.estimate),
            _range(method.result.interval),
            str(len(method.by_seed)),
            tables.percent(method.deviation),
        )
        for method in standings
    ]
    return text_table(headers, "rlllrrrr", rows)


def _scores(scores: Sequence[PairwiseResult]) -> Table:
    rows: dict[str, list[str]] = {}
    for result in scores:
        rows.setdefault(result.method, [result.method]).append(tables.percent(result.interval.estimate))
    headers = ("Method", *dict.fromkeys(result.au for result in scores))
    return text_table(headers, "l" + "r" * (len(headers) - 1), rows.values())


def _differences(results: Sequence[PairwiseResult], by_au: bool = False) -> Table:
    seed_error = () if by_au else ("Seed error",)
    headers = ("Method", "Minus", "Difference", "95 % interval", *seed_error, "p", "p (Holm)", "Significant")
    rows = [
        (
            *([result.au] * by_au),
            result.method,
            result.reference or EMPTY,
            tables.percent(result.interval.estimate, "+"),
            _range(result.interval, "+"),
            *([] if by_au else [tables.percent(result.seed_error)]),
            _p(result.p),
            _p(result.p_corrected),
            "yes" if (result.p_corrected or 0) < significance.ALPHA else "no",
        )
        for result in results
    ]
    return text_table(("AU", *headers), "lllrrrrl", rows) if by_au else text_table(headers, "llrrrrrl", rows)


def _range(interval: ConfidenceInterval, sign: str = "") -> str:
    return f"{tables.percent(interval.low, sign)} to {tables.percent(interval.high, sign)}"


def _p(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.4f}" if value >= 0.0001 else f"{value:.0e}"


def to_dataframe(comparison: Comparison) -> pd.DataFrame:
    """Return all results in one table, F1 as fractions rounded to six decimals, p-values to six digits."""
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
                "p": _rounded_p(result.p),
                "p_holm": _rounded_p(result.p_corrected),
                "seeds": len(method.by_seed) if method else None,
                "seed_deviation": method.deviation if method else None,
                "seed_error": result.seed_error,
                "rank": method.rank if method else None,
            }
        )
    frame = pd.DataFrame(rows).astype({"seeds": "Int64", "rank": "Int64"})
    rounded = ["f1", "low", "high", "seed_deviation", "seed_error"]
    return frame.round(dict.fromkeys(rounded, 6))


def _rounded_p(value: float | None) -> float | None:
    """Round a p-value to six digits; with decimals, those of many tests would be 0."""
    return None if value is None else float(f"{value:.6g}")
