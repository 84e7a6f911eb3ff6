"""Numbers behind the charts."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from aubench.leaderboard.entries import Entry
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.site.chart_data import _mark_pareto_front, _robustness


def test_the_front_has_every_method_that_no_other_beats():
    points = [(60.0, 1.0), (60.0, 1.0), (60.0, 2.0), (55.0, 1.0), (70.0, 3.0), (65.0, 3.0), (90.0, None)]
    rows = [{"f1": f1, "hours": hours} for f1, hours in points]
    _mark_pareto_front(rows, "hours")
    assert [row["pareto_hours"] for row in rows] == [True, True, False, False, True, False, False]


def test_seeds_under_two_versions_of_a_corruption_are_not_averaged(make_record):
    runs = []
    for seed, digest in ((0, "a"), (1, "b")):
        record = make_record("amf", seed=seed)
        counts = pd.concat([record.counts, record.counts.assign(condition="mask:all:0.5")])
        changes = {"conditions": ("clean", "mask:all:0.5"), "corruptions": {"mask": digest * 64}}
        info = record.info.model_copy(update=changes)
        runs.append(StoredRecord(Path(), replace(record, info=info, counts=counts)))
    assert _robustness(Entry.from_runs(runs)) == []
    assert len(_robustness(Entry.from_runs(runs[:1]))) == 2
