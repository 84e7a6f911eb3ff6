"""Runs that are due: each once, finished here, on the leaderboard, or lacking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aubench.core.conditions import Condition
from aubench.core.errors import UsageError
from aubench.papers.reproduction import PendingRuns
from aubench.papers.required_runs import RequiredRun, unique_runs
from aubench.papers.row_specs import ResolvedRow, RowSpec
from aubench.results.record import Record, RecordInfo
from aubench.results.run_folder import RESULT
from aubench.runs import devices

GONE, NOISE = Condition.parse("missing:visual"), Condition.parse("noise:all:0.5")


@pytest.fixture
def due(decide, tmp_path) -> Callable[..., RequiredRun]:
    def made(*conditions: Condition, method: str = "amf", weights: bool = False) -> RequiredRun:
        return RequiredRun(
            decide(tmp_path / "runs", method), conditions, weights, (tmp_path / "none", tmp_path / "records")
        )

    return made


@pytest.fixture
def publish(make_record) -> Callable[..., Record]:
    """Put the record of a run among the leaderboard's."""

    def published(due: RequiredRun, records: Path, run: str | None = None) -> Record:
        whole = make_record(due.config.entry.name)
        info = RecordInfo.from_fields(whole.info.model_dump(mode="json") | {"run": run or due.config.run_id})
        record = replace(whole, info=info)
        record.write(records / record.relative_path)
        return record

    return published


def test_runs_count_once_with_all_that_is_wanted_of_them(due):
    found = unique_runs([due(GONE), due(NOISE, GONE), due(weights=True), due(method="cam")])
    assert [(run.config.entry.name, run.conditions, run.weights) for run in found.values()] == [
        ("amf", (GONE, NOISE), True),
        ("cam", (), False),
    ]


def test_finished_and_lacking_folds(due):
    run = due()
    assert run.missing_folds() == [1, 2, 3] and not run.is_local
    for fold in (1, 2, 3):
        folder = run.config.fold_dir(fold)
        folder.mkdir(parents=True)
        (folder / RESULT).write_text("{}")
    assert run.missing_folds() == [] and run.is_local
    assert not due(GONE).is_local
    (run.config.fold_dir(2) / RESULT).unlink()
    assert run.missing_folds() == [2] and not run.is_local


def test_a_record_on_the_leaderboard_stands_for_its_run(due, publish, tmp_path):
    run = due()
    assert not run.is_published
    with pytest.raises(UsageError, match="has no finished fold"):
        run.record()
    record = publish(run, tmp_path / "records")
    assert run.is_published and not run.is_local
    assert run.record().info == record.info


def test_a_record_that_tells_too_little_does_not(due, publish, tmp_path):
    publish(due(), tmp_path / "records")
    assert not due(GONE).is_published, "it was not put under what is wanted"
    assert not due(weights=True).is_published, "a record has no weights"
    assert not due(method="cam").is_published


def test_a_run_is_made_for_what_lacks_it_not_for_a_table_that_its_record_makes(due, publish, tmp_path):
    table, figure = due(), due(weights=True)
    publish(table, tmp_path / "records")
    wanted = RowSpec("amf")
    found = {"table": [ResolvedRow(wanted, (table,))], "figure": [ResolvedRow(wanted, (figure,))]}
    lines = PendingRuns(found, "synth_3fold", devices.choose("cpu"), [tmp_path], 100).summary_lines()
    assert lines[0] == "table: nothing to run; 1 of 1 runs on the leaderboard"
    assert lines[1].startswith("figure: 1 of 1 runs missing, about ") and lines[1].endswith(": amf V+D seed 5")


def test_a_record_of_another_run_in_its_place_does_not(due, publish, tmp_path):
    run = due()
    other = publish(run, tmp_path / "elsewhere", run="0" * 16)
    other.write(tmp_path / "records" / run.config.run_dir.relative_to(run.config.runs))
    assert not run.is_published
