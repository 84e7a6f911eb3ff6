"""Numbers behind the charts."""

from aubench.leaderboard.site.chart_data import _mark_pareto_front


def test_the_front_has_every_method_that_no_other_beats():
    points = [(60.0, 1.0), (60.0, 1.0), (60.0, 2.0), (55.0, 1.0), (70.0, 3.0), (65.0, 3.0), (90.0, None)]
    rows = [{"f1": f1, "hours": hours} for f1, hours in points]
    _mark_pareto_front(rows, "hours")
    assert [row["pareto_hours"] for row in rows] == [True, True, False, False, True, False, False]
