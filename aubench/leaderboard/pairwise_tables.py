"""A comparison as Markdown, LaTeX or CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from aubench.leaderboard.pairwise import MEAN, Comparison, PairwiseResult, RankedMethod
from aubench.leaderboard.render import Block, Cell, Table, latex, markdown
from aubench.leaderboard.tables import EMPTY
from aubench.metrics import significance
from aubench.metrics.intervals import ConfidenceInterval
from aubench.results import csv_io

FORMATS = ("markdown", "latex", "csv")

_Columns = Sequence[tuple[str, str, Callable[[PairwiseResult], str]]]
"""Header, alignment and what it says of a line."""


def render(found: Comparison, form: str) -> str:
    """A comparison in one of ``FORMATS``; CSV has every line in one table, F1 as fractions."""
    if form == "csv":
        return csv_io.table_text(to_dataframe(found))
    return {"markdown": markdown, "latex": latex}[form](_blocks(found))


def _blocks(found: Comparison) -> list[Block]:
    return [
        "# Comparison",
        found.description,
        _standings(found.standings),
        "F1 in %, mean over AUs, folds and seeds. The interval (95 %) is over test subjects; ± over seeds is the\n"
        "standard deviation between runs that differ in their seed alone. Rank: one more than the number of methods\n"
        f"that are significantly better (paired test, {100 * significance.ALPHA:g} %, Holm over all pairs).",
        "## Differences",
        "The mean over AUs; p of the paired test over test subjects, and corrected over all pairs.",
        _lines(found.means, _DIFFERENCE),
        "## F1 per AU",
        _scores(found),
        "## Differences per AU",
        "p corrected over all pairs and AUs.",
        _lines(found.differences, [("AU", "left", lambda line: line.au), *_DIFFERENCE]),
    ]


def _standings(standings: Sequence[RankedMethod]) -> Table:
    headers = ("Rank", "Method", "Modalities", "F1", "95 % interval", "Seeds", "± over seeds")
    rows = [
        (
            str(one.rank),
            one.result.method,
            one.modalities,
            _percent(one.result.interval.estimate),
            _range(one.result.interval),
            str(len(one.by_seed)),
            EMPTY if one.deviation is None else _percent(one.deviation),
        )
        for one in standings
    ]
    align = ("right", "left", "left", "right", "right", "right", "right")
    return Table(headers, align, tuple(tuple(map(Cell, row)) for row in rows))


def _scores(found: Comparison) -> Table:
    by_method: dict[str, list[PairwiseResult]] = {}
    for line in found.scores:
        by_method.setdefault(line.method, []).append(line)
    aus = [line.au for line in next(iter(by_method.values()))]
    rows = [[method, *(_percent(line.interval.estimate) for line in lines)] for method, lines in by_method.items()]
    return Table(("Method", *aus), ("left", *("right" for _ in aus)), tuple(tuple(map(Cell, row)) for row in rows))


def _lines(lines: Sequence[PairwiseResult], columns: _Columns) -> Table:
    rows = tuple(tuple(Cell(show(line)) for _, _, show in columns) for line in lines)
    return Table(tuple(header for header, _, _ in columns), tuple(align for _, align, _ in columns), rows)


def _percent(value: float, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}"


def _range(interval: ConfidenceInterval, sign: str = "") -> str:
    return f"{_percent(interval.low, sign)} to {_percent(interval.high, sign)}"


def _p(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.4f}" if value >= 0.0001 else f"{value:.0e}"


_DIFFERENCE: _Columns = [
    ("Method", "left", lambda line: line.method),
    ("Minus", "left", lambda line: line.reference or EMPTY),
    ("Difference", "right", lambda line: _percent(line.interval.estimate, "+")),
    ("95 % interval", "right", lambda line: _range(line.interval, "+")),
    ("p", "right", lambda line: _p(line.p)),
    ("p (Holm)", "right", lambda line: _p(line.p_corrected)),
    ("Told apart", "left", lambda line: "yes" if (line.p_corrected or 0) < significance.ALPHA else "no"),
]


def to_dataframe(found: Comparison) -> pd.DataFrame:
    """Return all lines in one table, F1 as fractions rounded to six decimals."""
    standing = {one.result.method: one for one in found.standings}
    lines = [*(one.result for one in found.standings), *found.scores, *found.means, *found.differences]
    rows = []
    for line in lines:
        own = standing[line.method] if line.reference is None and line.au == MEAN else None
        rows.append(
            {
                "method": line.method,
                "minus": line.reference,
                "au": line.au,
                "f1": line.interval.estimate,
                "low": line.interval.low,
                "high": line.interval.high,
                "p": line.p,
                "p_holm": line.p_corrected,
                "seeds": len(own.by_seed) if own else None,
                "seed_deviation": own.deviation if own else None,
                "rank": own.rank if own else None,
            }
        )
    whole = dict.fromkeys(("seeds", "rank"), "Int64")
    return pd.DataFrame(rows).astype(whole).round(6)
