"""Numbers in the tables of the leaderboard."""

import pytest

from aubench.leaderboard import pairwise_tables, tables
from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.pairwise import Comparison, PairwiseResult, RankedMethod
from aubench.metrics import scores
from aubench.metrics.intervals import ConfidenceInterval


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0196, "0.020"), (12.5, "12.500"), (0.0005, "0.001"), (0.00045, "0.0004"), (0.0000123, "1e-05"), (0.0, "0.000")],
)
def test_costs_have_three_decimals_and_are_never_rounded_to_zero(value, text):
    assert tables.decimals(value) == text


def test_no_number_is_a_negative_zero():
    interval = ConfidenceInterval(-0.0004, -0.0049, -0.0001)
    cell = "+0.0 (-0.5 to +0.0)"
    summary = scores.Summary({name: scores.MetricSummary(-0.0001, (), {}) for name in scores.METRICS.names()})
    entry = Entry("prevalence", (), (summary,), interval)
    table = tables.score_table(RankedTable(False, "inner_val", 1, "", "", (1,), (entry,)))
    assert (table.column("Above always positive")[0].text, table.column("ACC")[0].text) == (cell, "0.0")
    result = PairwiseResult("a", "b", "mean", interval, 1.0, 1.0)
    comparison = Comparison("", (RankedMethod(result, (0.0,), 1, "V", "small"),), (result,), (result,), (result,))
    assert "-0.0" not in pairwise_tables.render(comparison, "markdown")


def test_no_p_value_is_rounded_to_zero():
    interval = ConfidenceInterval(0.1, 0.05, 0.15)
    ranked = RankedMethod(PairwiseResult("a", None, "mean", interval), (0.5,), 1, "V", "small")
    result = PairwiseResult("a", "b", "AU1", interval, 1 / 3_744_001, 9360 / 3_744_001)
    frame = pairwise_tables.to_dataframe(Comparison("", (ranked,), (), (), (result,)))
    assert frame[["p", "p_holm"]].iloc[-1].tolist() == [2.67094e-07, 0.0025]
    assert "2.67094e-07,0.0025" in pairwise_tables.render(Comparison("", (ranked,), (), (), (result,)), "csv")
