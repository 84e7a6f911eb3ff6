"""Tests of the plot of a leaderboard table."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from aubench.core import method_versions, protocol_versions
from aubench.core.errors import UsageError
from aubench.core.protocol_versions import ProtocolChange
from aubench.leaderboard import tables
from aubench.leaderboard.build import load_protocol
from aubench.metrics import baselines
from aubench.plots import leaderboard_plot, learning_curve_plot


@pytest.mark.slow
def test_equal_records_give_equal_pictures_with_a_line_for_each_row(board, tmp_path):
    leaderboard_plot.plot(board, "synth_3fold", tmp_path / "a.png")
    leaderboard_plot.plot(board, "synth_3fold", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    image = cv2.imread(str(tmp_path / "a.png")).astype(int)
    names = image[:, 20:150].min(axis=2) < 128  # dark ink where the names stand
    inked = np.flatnonzero(np.diff(np.r_[0, names.any(axis=1).astype(int)]) == 1)
    assert len(inked) >= 1 + 6  # a title and six rows


def _drawn(section):
    axes = Figure().add_subplot()
    leaderboard_plot.draw_table(axes, section, "synth_3fold")
    return axes


@pytest.mark.slow
def test_bold_marks_the_best_of_a_column_and_not_the_first_row(board):
    section, *_ = load_protocol(board, "synth_3fold").ranked
    first, second = section.methods[:2]
    summaries = (
        replace(s, metrics=s.metrics | {"auc": replace(s.metrics["auc"], mean=0.999)}) for s in second.summaries
    )
    keen = replace(second, baseline_summaries=tuple(summaries))
    axes = _drawn(replace(section, entries=(first, keen, *section.entries[2:])))
    bold = [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"]
    assert sorted(bold) == sorted([f"{100 * first.f1:.1f}", "99.9"])


@pytest.mark.slow
def test_each_method_has_its_rank_and_a_line_marks_always_positive(board):
    section, *_ = load_protocol(board, "synth_3fold").ranked
    axes = _drawn(section)
    said = [text.get_text() for text in axes.texts]
    assert "rank" in said and all(str(row.rank) in said for row in section.methods)
    always = next(row for row in section.entries if row.name == baselines.ALWAYS)
    lines = [path for group in axes.collections for path in group.get_segments()]
    assert any(line[:, 0].tolist() == [100 * always.f1] * 2 for line in lines)


@pytest.mark.slow
def test_the_title_names_seeds_and_a_rule_that_leaks(board):
    honest, oracle = (
        next(table for table in load_protocol(board, "synth_3fold").ranked if table.selection == rule)
        for rule in ("inner_val", "oracle_test")
    )
    titles = [_drawn(table).get_title(loc="left") for table in (honest, oracle)]
    counts = sorted({len(row.runs) for row in honest.methods})
    assert titles[0].endswith(f"seeds: {counts[0]} to {counts[-1]}") and len(counts) > 1
    assert titles[1].endswith(", Epoch chosen on the test subjects (leaks)")


def test_the_titles_of_figures_name_outdated_numbers_and_an_earlier_version_of_the_protocol(
    tmp_path, make_record, monkeypatch
):
    record = make_record("amf", pretraining_epochs=0)
    record.write(tmp_path / "records" / record.relative_path)

    def titles():
        figures = []
        monkeypatch.setattr(leaderboard_plot.style, "save", lambda figure, out: figures.append(figure))
        for module in (leaderboard_plot, learning_curve_plot):
            module.plot(tmp_path, "synth_3fold", tmp_path / "a.png")
        subtitles = " ".join(text.get_text() for text in figures[1].texts).replace("\n", " ")
        return [figures[0].axes[0].get_title(loc="left"), subtitles]

    assert not any("outdated" in title or "version 1 (" in title for title in titles())
    changes = (*method_versions.changes(), ("One more.", ("amf",)))
    monkeypatch.setattr(method_versions, "changes", lambda: changes)
    assert all("some numbers are outdated" in title for title in titles())
    change = ProtocolChange("synth_3fold", 2, "Validation subjects are drawn anew.")
    monkeypatch.setattr(protocol_versions, "changes", lambda name=None: (change,))
    assert all("protocol version 1 (earlier)" in title for title in titles())


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"learning_rate": 0.123456789, "weight_decay": 0.123456789}])
def test_a_name_overlaps_no_column(tmp_path, make_record, monkeypatch, changes):
    for record in (make_record("amf"), make_record("amf", recipe=changes)):
        record.write(tmp_path / "records" / record.relative_path)
    figures = []
    monkeypatch.setattr(leaderboard_plot.style, "save", lambda figure, out: figures.append(figure))
    leaderboard_plot.plot(tmp_path, "synth_3fold", tmp_path / "a.png")
    figures[0].draw_without_rendering()
    (axes,) = figures[0].axes
    names = [text.get_window_extent() for text in axes.texts if text.get_text().startswith("amf")]
    columns = [text.get_window_extent() for text in axes.texts if text.get_text() == "V+D"]
    assert len(names) == len(columns) == 1 + bool(changes)
    assert min(box.x0 for box in names) > 0 and max(box.x1 for box in names) < min(box.x0 for box in columns)


def test_protocol_without_runs_is_refused_and_nothing_written(board, tmp_path):
    with pytest.raises(UsageError, match=r"no record of protocol 'bp4d_3fold'; .*synth_3fold"):
        leaderboard_plot.plot(board, "bp4d_3fold", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_protocol_with_demos_alone_is_refused(tmp_path, make_record):
    record = make_record("amf", preset="tiny")
    record.write(tmp_path / "records" / record.relative_path)
    with pytest.raises(UsageError, match="'synth_3fold' to rank; submitted predictions, runs with missing folds"):
        leaderboard_plot.plot(tmp_path, "synth_3fold", tmp_path / "a.png")


@pytest.mark.slow
def test_rows_of_one_method_have_different_names(tmp_path, make_record):
    for record in (make_record("amf"), make_record("amf", recipe={"learning_rate": 0.1}), make_record("cam")):
        record.write(tmp_path / "records" / record.relative_path)
    section, *_ = load_protocol(tmp_path, "synth_3fold").ranked
    names = {tables.display_name(row, section.methods) for row in section.entries}
    assert {"amf, learning_rate=0.1", "amf, learning_rate=0.005", "cam", "always positive"} <= names
