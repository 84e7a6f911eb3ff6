"""Numbers behind the charts."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from aubench.leaderboard.entries import Entry, ranked_tables
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.site.chart_data import _mark_pareto_front, _robustness, chart_rows


def test_the_front_has_every_method_that_no_other_beats():
    points = [(60.0, 1.0), (60.0, 1.0), (60.0, 2.0), (55.0, 1.0), (70.0, 3.0), (65.0, 3.0), (90.0, None)]
    rows = [{"f1": f1, "hours": hours} for f1, hours in points]
    _mark_pareto_front(rows, "hours")
    assert [row["pareto_hours"] for row in rows] == [True, True, False, False, True, False, False]


@pytest.fixture
def make_masked(make_record):
    """Return a function that makes a record with a condition of a plug-in corruption, from the digest of its code."""

    def make(method, seed, digest):
        record = make_record(method, seed=seed)
        counts = pd.concat([record.counts, record.counts.assign(condition="mask:all:0.5")])
        changes = {"conditions": ("clean", "mask:all:0.5"), "corruptions": {"mask": digest * 64}}
        return StoredRecord(Path(), replace(record, info=record.info.model_copy(update=changes), counts=counts))

    return make


def test_seeds_under_two_versions_of_a_corruption_are_not_averaged(make_masked):
    runs = [make_masked("amf", seed, digest) for seed, digest in ((0, "a"), (1, "b"))]
    assert _robustness(Entry.from_runs(runs)) == []
    assert len(_robustness(Entry.from_runs(runs[:1]))) == 2


def test_methods_under_two_versions_of_a_corruption_are_in_different_series(make_masked):
    def series(*digests):
        runs = [make_masked(method, 0, digest) for method, digest in zip(("amf", "cam"), digests, strict=True)]
        (table,) = ranked_tables(runs)
        rows = sorted(chart_rows(table), key=lambda row: row["name"])
        return [{point["series"] for point in row["robustness"]} for row in rows]

    assert series("a", "a") == [{"mask:all"}, {"mask:all"}]
    assert series("a", "b") == [{"mask (aaaaaaaa):all"}, {"mask (bbbbbbbb):all"}]
