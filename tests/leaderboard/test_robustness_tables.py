"""Tables of robustness: one row per recipe, numbers from the counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from aubench.core.conditions import CLEAN, Condition
from aubench.core.errors import UsageError
from aubench.core.suites import find_suite
from aubench.core.task import Modality
from aubench.leaderboard import build, robustness_tables
from aubench.leaderboard.comparison_set import ComparisonSet, with_condition
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.render import template
from aubench.metrics import intervals
from aubench.results import counts
from aubench.results.record_info import RecordInfo

BRIEF = template("protocol")["robustness"]
WORSE = {"missing:visual": 0.5, "missing:depth": 0.9, "missing:visual+depth": 0.1, "noise:all:0.2": 0.8}


@pytest.fixture
def under(make_record):
    """Make a record whose conditions have the counts of less able methods."""

    def make(method: str = "late_fusion", **options) -> StoredRecord:
        clean = make_record(method, **options)
        parts = [clean.counts]
        parts += [make_record(method, **options | {"skill": s}).counts.assign(condition=c) for c, s in WORSE.items()]
        info = RecordInfo.from_fields(clean.info.model_dump(mode="json") | {"conditions": ["clean", *WORSE]})
        return StoredRecord(Path(clean.info.run), replace(clean, info=info, counts=counts.canonical(pd.concat(parts))))

    return make


def texts(table) -> list[tuple[str, ...]]:
    return [tuple(cell.text for cell in row) for row in table.rows]


@pytest.mark.slow
def test_seeds_share_a_profile_and_recipes_do_not(under):
    runs = [under("amf", seed=s) for s in (1, 0)] + [under("amf", recipe={"learning_rate": 2e-4}), under("cam")]
    all_profiles = robustness_tables.profiles(runs)
    assert sorted(profile.name for profile in all_profiles) == [
        "amf (small, learning_rate=0.0002)",
        "amf (small, learning_rate=0.005)",
        "cam",
    ]
    both = next(profile for profile in all_profiles if profile.name.endswith("=0.005)"))
    counts_by_seed = [run.record.counts for run in runs[:2]]
    assert both.f1(CLEAN)[-1] == pytest.approx(intervals.f1_interval(counts_by_seed))


@pytest.mark.slow
def test_numbers_are_those_of_the_counts(under):
    run = under()
    (profile,) = robustness_tables.profiles([run])
    tables = robustness_tables.make_tables([profile])
    assert list(tables) == ["conditions", "areas", "contributions", "lost"]
    rows = {row[1]: row[2:] for row in texts(tables["conditions"])}
    assert list(rows) == ["clean", *WORSE]
    assert rows["clean"][3:] == ("–", "–", "–")
    f1 = intervals.f1_interval([run.record.counts], "missing:visual")
    assert rows["missing:visual"][:3] == tuple(f"{100 * value:.1f}" for value in (f1.estimate, f1.low, f1.high))
    lost = {row[1]: row[-1] for row in texts(tables["lost"])}
    for condition in WORSE:
        assert float(lost[condition]) == pytest.approx(-float(rows[condition][3]))
    clean, noisy = (float(rows[c][0]) for c in ("clean", "noise:all:0.2"))
    assert texts(tables["areas"])[0][:4] == ("late_fusion", "noise", "all", "0.2")
    assert float(texts(tables["areas"])[0][4]) == pytest.approx((clean + noisy) / 2, abs=0.11)
    shapley = {row[2]: float(row[3]) for row in texts(tables["contributions"]) if row[1] == "Shapley (zero)"}
    total = clean - float(rows["missing:visual+depth"][0])
    assert sum(shapley.values()) == pytest.approx(total, abs=0.21)


@pytest.mark.slow
def test_tables_have_only_the_selected_conditions(under):
    def select(modalities):
        assert modalities == (Modality.VISUAL, Modality.DEPTH)
        return [Condition.parse("noise:all:0.2"), Condition.parse("noise:all:0.9")]

    all_profiles = robustness_tables.profiles([under()], select)
    tables = robustness_tables.make_tables(all_profiles)
    assert [row[1] for row in texts(tables["conditions"])] == ["clean", "noise:all:0.2"]
    assert "contributions" not in tables


@pytest.mark.slow
@pytest.mark.parametrize(("form", "names"), [("markdown", ["robustness.md"]), ("latex", ["robustness.tex"])])
def test_pages_hold_all_tables(under, form, names):
    tables = robustness_tables.make_tables(robustness_tables.profiles([under()]))
    pages = robustness_tables.render(tables, "synth_3fold: what is put under", form)
    assert list(pages) == names
    (text,) = pages.values()
    assert text.count("missing:visual+depth") == 2
    marks = "|:--" if form == "markdown" else "\\begin{tabular}"
    assert sum(line.startswith(marks) for line in text.splitlines()) == 4


@pytest.mark.slow
def test_csv_is_a_file_for_each_table(under):
    pages = robustness_tables.render(robustness_tables.make_tables(robustness_tables.profiles([under()])), "", "csv")
    assert list(pages) == ["conditions.csv", "areas.csv", "contributions.csv", "lost.csv"]
    assert pages["conditions.csv"].splitlines()[1].endswith(",,,")


@pytest.mark.slow
def test_a_leaderboard_shows_the_brief_table_where_records_have_conditions(under, make_record):
    plain = StoredRecord(Path("plain"), make_record("amf", skill=0.9))
    assert BRIEF not in build.files_of(Path("board"), [plain])["synth_3fold.md"]
    run = under(seed=4)
    page = build.files_of(Path("board"), [plain, run])["synth_3fold.md"]
    table = page.split(BRIEF)[1].strip().splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table[:3]]
    assert cells[0] == ["Method", "Preset", "Clean", "missing:visual", "missing:depth", "noise:all:0.2"]
    assert cells[2][:2] == ["late_fusion", "small"] and not table[3].startswith("|")
    clean, noisy = (intervals.f1_interval([run.record.counts], c).estimate for c in ("clean", "noise:all:0.2"))
    assert cells[2][2] == f"{100 * clean:.1f}"
    assert cells[2][-1] == f"{100 * noisy:.1f} ({100 * (noisy - clean):+.1f})"


@pytest.mark.slow
def test_the_brief_table_has_only_conditions_of_all_seeds(under, make_record):
    runs = [under(seed=0), StoredRecord(Path("clean"), make_record(seed=1))]
    assert BRIEF not in build.files_of(Path("board"), runs)["synth_3fold.md"]


def test_runs_under_two_versions_of_a_corruption_are_not_averaged_or_compared(make_record):
    runs = []
    for seed, digest in ((0, "a"), (1, "b")):
        record = make_record("amf", seed=seed)
        changes = {"conditions": ("clean", "dim:all:0.5", "mask:all:0.5"), "corruptions": {"dim": digest * 64}}
        runs.append(StoredRecord(Path(), replace(record, info=record.info.model_copy(update=changes))))
    assert len(robustness_tables.entries_of(runs)) == 2
    assert len(robustness_tables.entries_of(runs, find_suite("mask").conditions)) == 1
    assert Entry.from_runs(runs).conditions == {"clean", "mask:all:0.5"}
    compared = ComparisonSet((Entry.from_runs(runs[:1]), Entry.from_runs(runs[1:])), ())
    with pytest.raises(UsageError, match="different code of 'dim'"):
        with_condition(compared, "dim:all:0.5")
