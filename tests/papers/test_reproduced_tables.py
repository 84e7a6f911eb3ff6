"""Reproduced tables: printed rows, numbers from counts, provenance."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from aubench.core.errors import RecordError
from aubench.metrics.intervals import f1_interval
from aubench.metrics.scores import summary_of
from aubench.papers import reproduced_tables
from aubench.papers.measured_numbers import FigurePoint, MeasuredResult
from aubench.results.record import Record
from aubench.results.record_info import RecordInfo
from aubench.results.run_costs import Cost

REPORTED = Path(__file__).parents[2] / "leaderboard"
NONE = MeasuredResult(reason="not implemented here")


@pytest.fixture(scope="module")
def tables():
    from aubench.papers.reported import read_all

    return {table.name: table for table in read_all(REPORTED)}


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def of(record: Record, dataset: str) -> Record:
    """Return the record with another data set."""
    fields = record.info.model_dump(mode="json")
    return replace(record, info=RecordInfo.from_fields(fields | {"dataset": fields["dataset"] | {"name": dataset}}))


def test_runs_of_a_changed_recipe_are_named_so(tables, make_record):
    record = make_record("late_fusion", recipe={"epochs": 3, "cut_switch": 0.5})
    text = reproduced_tables.render(tables["amf_table_4"], [MeasuredResult((record,)), *[NONE] * 3], "markdown")
    assert "preset small, cut_switch=0.5, epochs=3; selection inner_val" in text


def test_names_and_titles(tables):
    assert {reproduced_tables.name_of(table) for table in tables.values()} == {
        *(f"amf-table-{i}" for i in (1, 2, 3, 4)),
        *(f"mcm-table-{i}" for i in (1, 2, 3, 4)),
        *(f"au-vmae-table-{i}" for i in (1, 2, 3, 4)),
        *(f"au-vmae-appendix-{i}" for i in (1, 2, 3, 4)),
        "amf-figure-4",
        *("fmae-iat-bp4dplus", "fmae-mdhr-bp4d", "fmae-mdhr-disfa"),
    }
    assert reproduced_tables.title_of(tables["au_vmae_appendix_table_1"]).endswith("accuracy on bp4d, 5 rows")


@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
def test_every_table_stands_as_printed_without_any_run(tables, form):
    for table in tables.values():
        text = reproduced_tables.render(table, [NONE] * len(table.rows), form)
        assert text == reproduced_tables.render(table, [NONE] * len(table.rows), form)
        if form != "csv":
            continue
        rows = lines(text)
        assert [line["Method"] for line in rows] == [row.method for row in table.rows]
        assert all("Nothing measured: not implemented here." in line["Notes"] for line in rows)
        for line, row in zip(rows, table.rows, strict=True):
            assert {au: line[f"AU{au}"] for au in row.printed} == {au: f"{x:.1f}" for au, x in row.printed.items()}
            assert line["Numbers"] == ("paper, suspect" if row.suspect else "paper")
            assert all(text in line["Notes"].lower() for text in row.suspect.lower().split("; ") if text)


@pytest.mark.slow
def test_ours_stands_below_with_interval_and_deviation(tables, make_record):
    table = tables["amf_table_4"]
    records = tuple(of(make_record("late_fusion", seed=seed, skill=0.6), "bp4d") for seed in (0, 1))
    text = reproduced_tables.render(table, [MeasuredResult(records), *[NONE] * 3], "csv")
    paper, here, *others = lines(text)
    assert len(others) == 3
    interval = f1_interval([record.counts for record in records])
    assert (paper["Numbers"], here["Numbers"], here["Method"]) == ("paper", "here", "late_fusion")
    assert here["Avg."] == f"{100 * interval.estimate:.1f}"
    assert here["Interval"] == f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
    assert float(here["Deviation"]) == pytest.approx(100 * interval.estimate - 61.1, abs=0.051)
    mean = sum(summary_of(record).f1_by_au["AU4"] for record in records) / 2
    assert here["AU4"] == f"{100 * mean:.1f}"
    assert "synth_3fold version 1, V+D; preset small;" in here["Measured on"] and "seeds 0, 1" in here["Measured on"]
    assert all(record.info.run in here["Measured on"] for record in records)


def test_what_was_measured_on_synth_has_no_deviation_from_real_faces(tables, make_record):
    table = tables["amf_table_4"]
    text = reproduced_tables.render(table, [MeasuredResult((make_record("late_fusion"),)), *[NONE] * 3], "csv")
    assert lines(text)[1]["Avg."] and lines(text)[1]["Deviation"] == ""


def test_an_au_without_labels_has_no_accuracy_and_leaves_no_mean(tables, make_record):
    table, record = tables["au_vmae_appendix_table_1"], make_record("late_fusion")
    empty = record.counts.assign(**dict.fromkeys(("tp", "fp", "fn", "tn"), 0))
    unlabelled = replace(record, counts=record.counts.where(record.counts["au"] != table.aus[0], empty))
    rest = [NONE] * (len(table.rows) - 1)
    text = reproduced_tables.render(table, [MeasuredResult((unlabelled,)), *rest], "csv")
    here = lines(text)[1]
    assert here[f"AU{table.aus[0]}"] == here["Avg."] == here["Interval"] == ""
    assert float(here[f"AU{table.aus[1]}"]) > 0


def test_a_page_without_any_deviation_does_not_speak_of_it(tables, make_record):
    table, record = tables["amf_table_4"], make_record("late_fusion")
    drawn, real = (
        reproduced_tables.render(table, [MeasuredResult((r,)), *[NONE] * 3], "markdown")
        for r in (record, of(record, "bp4d"))
    )
    assert "Deviation" not in drawn and real.count("Deviation") == 2
    widths = {line.count("|") for line in drawn.splitlines() if line.startswith("|")}
    assert len(widths) == 1


@pytest.mark.slow
def test_the_page_names_protocol_preset_seeds_store_and_runs(tables, make_record):
    record = make_record("amf", seed=3)
    table = tables["amf_table_4"]
    text = reproduced_tables.render(table, [NONE, NONE, NONE, MeasuredResult((record,))], "markdown")
    (source,) = (line for line in text.splitlines() if line.startswith("- Measured on"))
    for word in (
        "synth_3fold version 1",
        "preset small",
        "seeds 3",
        "store synth 555555555555",
        f"amf {record.info.run[:8]}",
    ):
        assert word in source
    assert "synth has rendered faces" in text
    assert text.startswith(f"# {table.rows[0].source}, measured on synth_3fold\n")
    tex = reproduced_tables.render(table, [NONE, NONE, NONE, MeasuredResult((record,))], "latex")
    assert tex.count("\\\\") == 1 + 4 + 1 and r"\toprule" in tex


@pytest.mark.slow
def test_accuracy_has_its_spread(tables, make_record):
    table = tables["au_vmae_appendix_table_1"]
    records = tuple(make_record("au_vmae", seed=seed) for seed in (0, 1))
    ours = [MeasuredResult(records) if row.method_here else NONE for row in table.rows]
    *_, here = lines(reproduced_tables.render(table, ours, "csv"))
    assert here["Avg."] == f"{50 * sum(summary_of(r).value('acc') for r in records):.1f}"
    assert here["Interval"].startswith("± ")
    alone = MeasuredResult((make_record("au_vmae", folds=(2,)),))
    *_, here = lines(reproduced_tables.render(table, [alone if row.method_here else NONE for row in table.rows], "csv"))
    assert "±" not in here["Interval"]


@pytest.mark.slow
def test_a_mean_over_other_aus_is_not_compared(tables, make_record):
    table = tables["au_vmae_table_2"]  # DISFA's AUs, of which synth lacks three
    ours = [MeasuredResult((make_record("au_vmae"),)) if row.method_here else NONE for row in table.rows]
    *_, here = lines(reproduced_tables.render(table, ours, "csv"))
    assert (here["AU9"], here["Avg."], here["Interval"], here["Deviation"]) == ("", "", "", "")
    assert here["AU1"] and here["AU12"]


@pytest.mark.slow
@pytest.mark.parametrize(("aus", "is_compared"), [(None, True), ((1, 2, 4), False)])
def test_a_mean_without_aus_is_compared_only_with_that_of_all_aus_of_the_data_set(
    tables, make_record, aus, is_compared
):
    table, record = tables["au_vmae_table_4"], of(make_record("au_vmae"), "bp4d")
    if aus:
        protocol = record.info.protocol.model_copy(update={"aus": aus})
        counts = record.counts[record.counts["au"].isin(aus)]
        record = replace(record, counts=counts, info=record.info.model_copy(update={"protocol": protocol}))
    measured = [MeasuredResult((record,)), *[NONE] * (len(table.rows) - 1)]
    _, here, *_ = lines(reproduced_tables.render(table, measured, "csv"))
    assert here["Avg."] and bool(here["Deviation"]) == is_compared


@pytest.mark.slow
def test_a_mean_is_over_the_tables_own_aus(tables, make_record):
    table, record = tables["au_vmae_appendix_table_3"], make_record("au_vmae")
    _, here, *_ = lines(reproduced_tables.render(table, [MeasuredResult((record,)), NONE, NONE, NONE], "csv"))
    per_au = [summary_of(record).f1_by_au[f"AU{au}"] for au in table.aus]
    assert float(here["Avg."]) == pytest.approx(100 * sum(per_au) / 5, abs=0.051)
    assert here["Deviation"] == "", "the paper prints no mean"


def test_costs_are_compared_like_with_like_and_without_a_run(tables):
    table, cost = tables["au_vmae_appendix_table_4"], Cost(flops=5_640_000_000, macs=2_820_000_000, parameters=1)
    ours = [NONE, NONE, MeasuredResult(cost=cost)]
    *_, here = lines(reproduced_tables.render(table, ours, "csv"))
    assert (here["Avg."], here["Deviation"], here["Measured on"]) == ("2.82", "+0.0", "")
    text = reproduced_tables.render(table, ours, "markdown")
    assert "GMACs per frame" in text and "GFLOPs" not in text
    doubled = replace(table, rows=tuple(row.model_copy(update={"metric": "gflops"}) for row in table.rows))
    *_, here = lines(reproduced_tables.render(doubled, ours, "csv"))
    assert (here["Avg."], here["Deviation"]) == ("5.64", "+2.8"), "a paper that counts two per multiply-accumulate"


def test_records_that_do_not_belong_together_are_refused(tables, make_record):
    complete, partial = make_record("amf"), make_record("amf", seed=1, folds=(1, 3))
    with pytest.raises(RecordError, match="differ in folds"):
        reproduced_tables.render(tables["amf_table_4"], [MeasuredResult((complete, partial)), NONE, NONE, NONE], "csv")


@pytest.mark.slow
def test_numbers_of_a_figure(make_record):
    record = make_record("mcm")
    (line,) = lines(reproduced_tables.render_points("A figure", [FigurePoint("half", "clean", (record,))], "csv"))
    assert (line["Row"], line["Condition"], line["F1"]) == ("half", "clean", f"{100 * summary_of(record).f1_mean:.1f}")
    assert float(line["F1 low"]) < float(line["F1"]) < float(line["F1 high"])
    text = reproduced_tables.render_points("A figure", [FigurePoint("half", "clean", (record,))], "markdown")
    assert text.startswith("# A figure") and record.info.run[:8] in text


@pytest.mark.parametrize(("form", "shown"), [("markdown", True), ("latex", False), ("csv", False)])
def test_the_page_of_a_figure_shows_its_picture(tables, make_record, form, shown):
    record, table = make_record("amf"), tables["amf_table_4"]
    for text in (
        reproduced_tables.render_points("A figure", [FigurePoint("half", "clean", (record,))], form, "a-figure.png"),
        reproduced_tables.render(table, [MeasuredResult((record,)), *[NONE] * 3], form, "a-figure.png"),
    ):
        assert ("](a-figure.png)" in text) == shown
    assert "![" not in reproduced_tables.render_points("A figure", [FigurePoint("half", "clean", (record,))], form)
