"""Metrics added by one file: summaries, tables, DataFrames and MLflow follow without another change."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from factories import boards
from sklearn.metrics import balanced_accuracy_score

from aubench.api import load_results
from aubench.core.errors import UsageError
from aubench.core.plugins import PLUGINS_VARIABLE
from aubench.leaderboard import build, tables
from aubench.leaderboard.board_rows import board_rows
from aubench.metrics import scores
from aubench.metrics.scores import METRICS, Metric

DOCS = Path(__file__).parents[2] / "docs/results-format.md"
BUILT_IN = ["f1", "f1_pooled", "acc", "auc", "ap"]
MISS_RATE = """
import numpy as np
from aubench.metrics.scores import Metric

miss_rate = Metric(
    "miss_rate", "Miss rate", "Share of positive frames that are missed", "counts",
    lambda cells: cells[..., 2] / np.maximum(cells[..., 0] + cells[..., 2], 1), higher_is_better=False,
)
"""


@pytest.fixture
def balanced_accuracy(tmp_path, monkeypatch) -> Path:
    """Load the metric that the documentation shows."""
    (source,) = re.findall(r"```python\n(.*?)```", DOCS.read_text().split("## Metrics")[1], re.DOTALL)[:1]
    path = tmp_path / "balanced_accuracy.py"
    path.write_text(source)
    monkeypatch.setenv(PLUGINS_VARIABLE, str(path))
    return path


def test_built_in_metrics_come_first_and_are_described(balanced_accuracy):
    assert METRICS.names() == [*BUILT_IN, "balanced_acc"]
    text = DOCS.read_text()
    for name in BUILT_IN:
        assert f"| `{name}` | {METRICS.get(name).description} |" in text


def test_the_summary_equals_scikit_learn(balanced_accuracy, make_record):
    record = make_record()
    cells = record.counts.groupby(["fold", "au"])[["tp", "fp", "fn", "tn"]].sum()
    expected = [
        balanced_accuracy_score(np.repeat([1, 0, 1, 0], row), np.repeat([1, 1, 0, 0], row)) for row in cells.to_numpy()
    ]
    summary = scores.summary_of(record)
    assert summary.value("balanced_acc") == pytest.approx(np.mean(expected), abs=5.1e-7)
    assert list(summary.by_au("balanced_acc")) == [f"AU{au}" for au in sorted(record.info.protocol.aus)]
    assert summary.to_dict()["per_au"]["AU12"]["balanced_acc"] == summary.by_au("balanced_acc")["AU12"]
    assert "f1_pooled" not in summary.to_dict()


@pytest.mark.parametrize("source", ["counts", "histograms"])
def test_a_metric_that_changes_its_arguments_in_place_spoils_no_other(source):
    def clear(*arrays):
        for array in arrays:
            array[:] = 0
        return np.zeros(arrays[0].shape[:-1])

    totals = scores.ConfusionCounts((1,), (1,), np.array([[[5, 1, 1, 5]]]))
    histograms = np.ones((1, 1, 2, 200), np.int64)
    Metric("clearing", "Clearing", "Clears its arguments", source, clear).compute_cells(totals, histograms)
    assert totals.cells.sum() == 12 and histograms.sum() == 400


def test_a_summary_computed_without_the_plugin_is_computed_again(make_record, monkeypatch, tmp_path):
    record = make_record()
    assert list(scores.summary_of(record).metrics) == BUILT_IN
    (tmp_path / "miss_rate.py").write_text(MISS_RATE)
    monkeypatch.setenv(PLUGINS_VARIABLE, str(tmp_path / "miss_rate.py"))
    assert list(scores.summary_of(record).metrics) == [*BUILT_IN, "miss_rate"]
    assert scores.summary_of(record) is scores.summary_of(record)
    monkeypatch.delenv(PLUGINS_VARIABLE)
    assert list(scores.summary_of(record).metrics) == BUILT_IN


def test_a_division_by_zero_is_undefined_without_a_warning(recwarn):
    totals = scores.ConfusionCounts((1,), (1,), np.array([[[0, 0, 1, 5]]]))
    histograms = np.zeros((1, 1, 2, 200), np.int64)
    counted = Metric("precision", "Precision", "Hits", "counts", lambda cells: cells[..., 0] / cells[..., :2].sum(-1))
    binned = Metric("odds", "Odds", "Odds", "histograms", lambda absent, present: present.sum() / absent.sum())
    for metric in (counted, binned):
        assert np.isnan(metric.compute_cells(totals, histograms)).all()
    assert not recwarn.list


ODDS = """
import numpy as np
from aubench.metrics.scores import Metric

odds = Metric("odds", "Odds", "Hits for each miss", "counts", lambda cells: np.full(cells.shape[:-1], np.inf))
lift = Metric("lift", "Lift", "Gain over chance", "histograms", lambda negatives, positives: -np.inf)
"""


def test_infinite_values_are_undefined(small_board, make_record, monkeypatch, tmp_path, call, script_stubs):
    (tmp_path / "odds.py").write_text(ODDS)
    monkeypatch.setenv(PLUGINS_VARIABLE, str(tmp_path / "odds.py"))
    summary = scores.summary_of(make_record())
    for name in ("odds", "lift"):
        assert summary.value(name) is None and set(summary.by_fold(name)) == {None}
    assert call("leaderboard", "build", "--root", small_board).code == 0


BROKEN = """
from aubench.metrics.scores import Metric

broken = Metric(
    "broken", "Broken", "Fails", "{source}",
    lambda *tables: {function},
)
"""


@pytest.mark.parametrize(
    ("source", "function", "message"),
    [
        ("counts", "1 / 0", "metric 'broken': fails in line 6 (ZeroDivisionError: division by zero)"),
        ("counts", "'much'", "metric 'broken': fails (ValueError: could not convert string to float"),
        ("histograms", "tables[2]", "metric 'broken': fails in line 6 (IndexError: tuple index out of range)"),
        ("histograms", "'much'", "metric 'broken': fails (ValueError: could not convert string to float"),
    ],
)
def test_a_function_that_fails_is_one_line(monkeypatch, tmp_path, make_record, source, function, message):
    (tmp_path / "broken.py").write_text(BROKEN.format(source=source, function=function))
    monkeypatch.setenv(PLUGINS_VARIABLE, str(tmp_path / "broken.py"))
    with pytest.raises(UsageError, match=re.escape(message)):
        scores.summary_of(make_record())


@pytest.mark.parametrize("title", ["", "A|B", "<b>B</b>", "A\nB", "a" * 41, 3])
def test_a_title_that_breaks_a_table_is_refused(title):
    with pytest.raises(UsageError, match="cannot be a column header; use at most 40 letters"):
        Metric("broken", title, "Fails", "counts", np.sum)


def test_the_name_or_title_of_another_column_is_refused(small_board):
    (results,) = build.load_results(small_board)
    others = {name for row in board_rows(small_board) for name in row} | {*load_results(small_board).to_dataframe()}
    for name in (others | {"per_au"}) - {*METRICS.names()}:
        with pytest.raises(UsageError, match=f"name '{name}' is that of another column; choose another"):
            Metric(name, "Mine", "", "counts", scores.f1)
    titles = {*tables.score_table(results.tables[0]).headers} - {metric.title for metric in scores.column_metrics()}
    for title in titles - {"#"}:
        with pytest.raises(UsageError, match="is that of another column"):
            Metric("mine", title, "", "counts", scores.f1)


def test_two_metrics_of_one_title_are_refused(monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(MISS_RATE.replace("Miss rate", "auc"))
    monkeypatch.setenv(PLUGINS_VARIABLE, str(tmp_path / "mine.py"))
    with pytest.raises(UsageError, match="metric 'miss_rate': title 'auc' is that of the metric 'auc'"):
        scores.column_metrics()


@pytest.mark.slow
def test_leaderboard_tables_have_a_column(balanced_accuracy, small_board, script_stubs, call):
    assert call("leaderboard", "build", "--root", small_board).code == 0
    page = (small_board / "synth_3fold.md").read_text()
    header = next(line for line in page.splitlines() if re.match(r"\| *# \|", line))
    titles = [cell.strip() for cell in header.split("|")]
    assert titles.index("Balanced ACC") == titles.index("AUC") + 1
    assert "Balanced ACC" in call("leaderboard", "show", "synth_3fold", "--root", small_board).out


def test_tables_print_the_smallest_value_bold_where_lower_is_better(small_board, monkeypatch, tmp_path):

    (tmp_path / "miss_rate.py").write_text(MISS_RATE)
    monkeypatch.setenv(PLUGINS_VARIABLE, str(tmp_path / "miss_rate.py"))
    lines = boards.pages(small_board)["synth_3fold.md"].splitlines()
    start = next(i for i, line in enumerate(lines) if "Miss rate" in line)
    column = [cell.strip() for cell in lines[start].split("|")].index("Miss rate")
    cells = [lines[start + i].split("|")[column].strip() for i in (2, 3)]
    values = [float(cell.strip("*")) for cell in cells]
    assert values[0] != values[1]
    assert [cell.startswith("**") for cell in cells] == [value == min(values) for value in values]


def test_the_table_of_a_run_and_dataframes_have_a_column(balanced_accuracy, small_board):
    results = load_results(small_board)
    assert "Balanced ACC" in results.summary()
    assert results.to_dataframe()["balanced_acc"].between(0.5, 1).all()


def test_mlflow_has_keys_for_runs_and_folds(balanced_accuracy, fake_run):
    from aubench.tracking.run_export import TrackedRun

    run = fake_run().finish()
    summary = scores.summary_of(run.record)
    path = run.run_dir / "fold1" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scores": summary.to_dict()}))
    tracked = TrackedRun.open(run.run_dir)
    for points in (tracked.record_points(0), tracked.result_points(1, 0)):
        values = {point.key: point.value for point in points}
        assert values["test/balanced_acc"] == summary.value("balanced_acc")
        assert values["test_balanced_acc/AU12"] == summary.by_au("balanced_acc")["AU12"]


@pytest.mark.slow
def test_records_stay_valid_with_and_without_a_plugin(balanced_accuracy, small_board, script_stubs, call, monkeypatch):
    assert call("leaderboard", "build", "--root", small_board).code == 0
    assert call("leaderboard", "check", "--root", small_board).code == 0
    monkeypatch.delenv(PLUGINS_VARIABLE)
    checked = call("leaderboard", "check", "--root", small_board)
    assert checked.code == 1
    *findings, total = checked.err.splitlines()
    assert findings and all("is stale" in finding for finding in findings), total


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Balanced ACC"}, "metric name 'Balanced ACC' is invalid"),
        ({"source": "labels"}, "neither 'counts' nor 'histograms'"),
        ({"source": "histograms", "pooled": True}, "only a metric of counts can be pooled"),
    ],
)
def test_an_invalid_metric_is_rejected(changes, message):
    fields = {"name": "mine", "title": "Mine", "description": "", "source": "counts", "function": scores.f1}
    with pytest.raises(UsageError, match=message):
        Metric(**fields | changes)


def test_a_result_of_another_shape_is_rejected(make_record):
    record = make_record()
    metric = Metric("mine", "Mine", "", "counts", lambda cells: cells.sum())
    with pytest.raises(UsageError, match=r"returns shape \(\) for counts of shape \(3, 12, 4\)"):
        metric.compute(scores.sum_over_subjects(record.counts), record.histograms)


def test_a_built_in_name_is_rejected(monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(MISS_RATE.replace('"miss_rate"', '"auc"'))
    monkeypatch.setenv(PLUGINS_VARIABLE, str(tmp_path / "mine.py"))
    with pytest.raises(UsageError, match="metric 'auc' is built in"):
        METRICS.names()
