"""Required runs: distinct, local, published or missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aubench.core import method_versions
from aubench.core.conditions import Condition
from aubench.core.errors import RecordError, UsageError
from aubench.papers.reproduction import PendingRuns
from aubench.papers.required_runs import RequiredRun, unique_runs
from aubench.papers.row_specs import ResolvedRow, RowSpec
from aubench.results.record import Record
from aubench.results.record_info import RecordInfo
from aubench.results.run_folder import RESULT
from aubench.runs import devices, fold_result

GONE, NOISE = Condition.parse("missing:visual"), Condition.parse("noise:all:0.5")


@pytest.fixture
def require(decide, tmp_path) -> Callable[..., RequiredRun]:
    def make(*conditions: Condition, method: str = "amf", weights: bool = False) -> RequiredRun:
        return RequiredRun(
            decide(tmp_path / "runs", method), conditions, weights, (tmp_path / "none", tmp_path / "records")
        )

    return make


@pytest.fixture
def publish(make_record) -> Callable[..., Record]:
    """Return a function that writes the record of a run to the leaderboard."""

    def published(require: RequiredRun, records: Path, run: str | None = None) -> Record:
        template = make_record(require.config.entry.name)
        info = RecordInfo.from_fields(template.info.model_dump(mode="json") | {"run": run or require.config.run_id})
        record = replace(template, info=info)
        record.write(records / record.relative_path)
        return record

    return published


@pytest.mark.slow
def test_requirements_of_a_run_are_merged(require):
    resolved = unique_runs([require(GONE), require(NOISE, GONE), require(weights=True), require(method="cam")])
    assert [(run.config.entry.name, run.conditions, run.weights) for run in resolved.values()] == [
        ("amf", (GONE, NOISE), True),
        ("cam", (), False),
    ]


def test_finished_and_missing_folds(require):
    run = require()
    assert run.missing_folds() == [1, 2, 3] and not run.is_local
    for fold in (1, 2, 3):
        folder = run.config.fold_dir(fold)
        folder.mkdir(parents=True)
        (folder / RESULT).write_text(json.dumps(dict.fromkeys(fold_result._KEYS)))
    assert run.missing_folds() == [] and run.is_local
    assert not require(GONE).is_local
    (run.config.fold_dir(2) / RESULT).unlink()
    assert run.missing_folds() == [2] and not run.is_local


def test_a_record_on_the_leaderboard_replaces_its_run(require, publish, tmp_path):
    run = require()
    assert not run.is_published
    with pytest.raises(UsageError, match="has no finished fold"):
        run.record()
    record = publish(run, tmp_path / "records")
    assert run.is_published and not run.is_local
    assert run.record().info == record.info


def test_a_damaged_record_is_an_error_before_anything_is_trained(require, publish, tmp_path):
    run, record = require(), publish(require(), tmp_path / "records")
    counts = tmp_path / "records" / record.relative_path / "counts.csv"
    counts.write_bytes(counts.read_bytes()[:-9])
    with pytest.raises(RecordError, match=r"counts\.csv: its last line is truncated"):
        PendingRuns({"table": [ResolvedRow(RowSpec("amf"), (run,))]}, "synth_3fold", devices.choose("cpu"), [], 100)


def test_a_record_of_an_earlier_version_of_the_method_does_not_replace_its_run(require, publish, tmp_path, monkeypatch):
    publish(require(), tmp_path / "records")
    changes = (*method_versions.changes(), ("Another initialisation.", ("amf",)))
    monkeypatch.setattr(method_versions, "changes", lambda: changes)
    assert not require().is_published


def test_a_record_without_the_required_conditions_or_weights_does_not(require, publish, tmp_path):
    publish(require(), tmp_path / "records")
    assert not require(GONE).is_published, "it has no scores under the condition"
    assert not require(weights=True).is_published, "a record has no weights"
    assert not require(method="cam").is_published


@pytest.mark.slow
def test_a_run_is_trained_only_for_exhibits_that_need_its_weights(require, publish, tmp_path):
    table, figure = require(), require(weights=True)
    publish(table, tmp_path / "records")
    spec = RowSpec("amf")
    resolved = {"table": [ResolvedRow(spec, (table,))], "figure": [ResolvedRow(spec, (figure,))]}
    lines = PendingRuns(resolved, "synth_3fold", devices.choose("cpu"), [tmp_path], 100).summary_lines()
    assert lines[0] == "table: nothing to run; 1 of 1 runs on the leaderboard"
    assert lines[1].startswith("figure: 1 of 1 runs missing, about ") and lines[1].endswith(": amf V+D seed 5")


def test_a_record_of_another_run_does_not(require, publish, tmp_path):
    run = require()
    other = publish(run, tmp_path / "elsewhere", run="0" * 16)
    other.write(tmp_path / "records" / run.config.run_dir.relative_to(run.config.runs))
    assert not run.is_published
