"""``aubench robustness``, small but real: a suite, again, narrowed, and what it passes over."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from factories.command_words import changed

import aubench as package
from aubench import api
from aubench.api import execution, robustness_evaluation
from aubench.core.errors import AubenchError
from aubench.core.suites import find_suite
from aubench.leaderboard.records import StoredRecord
from aubench.metrics.scores import summary_of
from aubench.plots import robustness_figures
from aubench.results import record
from aubench.runs import runner as engine_run
from aubench.runs.events import RunFailed

SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 100, "epochs": 1, "validation_stride": 8}
ASKED = ("robustness", "--noise", "0.2,0.8", "--no-track", "--device", "cpu")


@pytest.fixture(scope="module")
def finished(small_store, tmp_path_factory) -> Path:
    """A folder with a finished run of each of two methods."""
    runs = tmp_path_factory.mktemp("finished") / "runs"
    package.run("late_fusion,cam", "synth_3fold", overrides=SMALL, store=small_store, runs=runs, device="cpu")
    return runs


@pytest.fixture
def asked(call, finished, small_store, tmp_path) -> Callable:
    """Put copies of the finished runs under a suite."""
    shutil.copytree(finished, tmp_path / "runs")
    return lambda *more: call(*changed([*ASKED, "--store", small_store], more))


def outputs(*folders: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for f in folders for path in sorted(Path(f).rglob("*")) if path.is_file()}


def run_of(method: str) -> Path:
    return next(Path("runs/synth_3fold", method).iterdir())


@pytest.mark.slow
@pytest.mark.nightly
def test_every_finished_run_is_evaluated_once_and_told_the_same_twice(asked, call):
    first = asked()
    assert first.code == 0, first.err
    assert first.err.count("evaluated under 8 conditions") == 6
    assert all(line in first.out for line in ("| cam ", "| late_fusion ", "noise:all:0.8", "leave-one-out (zero)"))
    names = ["curves", "heatmap_cam", "heatmap_late_fusion", "missing"]
    wanted = sorted([f"{name}{suffix}" for name in names for suffix in (".png", ".svg")] + ["robustness.md"])
    assert sorted(path.name for path in Path("robustness/synth_3fold").iterdir()) == wanted
    found = record.read(run_of("cam") / "record")
    assert len(found.info.conditions) == 9
    before = outputs("robustness", "runs")

    again = asked()
    assert (again.code, again.out) == (0, first.out) and first.err.endswith(again.err)
    assert [line.removeprefix("wrote robustness/synth_3fold/") for line in sorted(again.err.splitlines())] == wanted
    assert outputs("robustness", "runs") == before

    more = asked("--noise", "0.2", "--method", "cam", "--format", "csv", "--out", "narrow")
    assert more.code == 0 and more.err.count("wrote narrow/") == more.err.count("\n"), more.err
    assert sorted(path.name for path in Path("narrow").glob("*.csv")) == [
        "areas.csv",
        "conditions.csv",
        "contributions.csv",
        "lost.csv",
    ]
    rows = Path("narrow/conditions.csv").read_text().splitlines()
    assert rows[0] == "Method,Condition,F1,F1 low,F1 high,Change,Change low,Change high"
    assert len(rows) == 1 + 6 and all(row.startswith("cam,") for row in rows[1:])
    estimate = 100 * summary_of(found).f1_mean
    assert float(rows[1].split(",")[2]) == pytest.approx(estimate, abs=0.051)

    objects = asked("--noise", "0.2", "--method", "cam", "--format", "json", "--out", "objects")
    assert objects.code == 0 and objects.err.count("wrote objects/") == objects.err.count("\n"), objects.err
    scores = json.loads(Path("objects/robustness.json").read_text())
    assert len(scores) == 6 * 13 and {row["condition"] for row in scores} >= {"clean", "noise:all:0.2"}
    assert 100 * scores[12]["f1"] == pytest.approx(estimate, abs=1e-4) and scores[12]["au"] == "mean"
    assert Path("objects/robustness.json").read_text() == objects.out

    added = call("leaderboard", "add", "runs")
    assert added.code == 0, added.err
    assert call("leaderboard", "build").code == call("leaderboard", "check").code == 0


@pytest.mark.slow
def test_a_suite_of_ones_own_and_every_subset(asked):
    Path("mine.toml").write_text('name = "mine"\nversion = 1\ntitle = "Mine"\n[[noise]]\non = ["all"]\nsigma = [0.5]\n')
    mine = asked("--suite", "mine.toml", "--run", run_of("cam"), "--format", "latex", "--noise", "0.3")
    assert mine.code == 0, mine.err
    assert "noise:all:0.3" in mine.out and "\\begin{tabular}" in mine.out and "noise:visual" not in mine.out
    assert not Path("robustness/synth_3fold/missing.png").exists()


@pytest.mark.slow
def test_tables_and_figures_of_an_earlier_command_are_removed(asked):
    Path("mine.toml").write_text('name = "mine"\nversion = 1\ntitle = "Mine"\n[[noise]]\non = ["all"]\nsigma = [0.5]\n')
    assert asked("--noise", "0.2", "--format", "csv").code == 0
    assert asked("--noise", "0.2", "--format", "csv", "--suite", "mine.toml", "--method", "cam").code == 0
    figures = {f"{name}{suffix}" for name in ("curves", "heatmap_cam") for suffix in (".png", ".svg")}
    tables = {f"{name}.csv" for name in ("areas", "conditions", "lost")}
    assert {path.name for path in Path("robustness/synth_3fold").iterdir()} == figures | tables


@pytest.mark.slow
def test_what_is_not_finished_is_passed_over_and_named(asked):
    cam, late = run_of("cam"), run_of("late_fusion")
    (cam / "fold2/result.json").unlink()
    found = asked()
    assert found.code == 0, found.err
    assert f"skipped {cam}: has 2 of 3 folds\n" in found.err
    assert "cam" not in found.out
    header = json.loads((late / "run.json").read_text())
    del header["asked"]
    (late / "run.json").write_text(json.dumps(header))
    none = asked()
    assert none.code == 2
    assert f"skipped {late}: is of an earlier version; run it again\n" in none.err
    assert none.err.splitlines()[-1].startswith("aubench: none of 2 runs can be evaluated; the lines above say why; ")


@pytest.mark.slow
def test_changed_weights_are_not_passed_off_as_evaluated(asked):
    assert asked("--method", "cam", "--noise", "0.2").code == 0
    weights = run_of("cam") / "fold1/checkpoint.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    found = asked("--method", "cam", "--noise", "0.2")
    assert found.code == 2 and "is not what the fold was scored with" in found.err


@pytest.mark.slow
def test_a_record_that_was_not_rewritten_is(asked):
    """A kill between the last fold and the record."""
    clean = outputs(f"{run_of('cam')}/record")
    assert asked("--method", "cam", "--noise", "0.2").code == 0
    whole = outputs(f"{run_of('cam')}/record")
    for name, content in clean.items():
        Path(name).write_bytes(content)
    again = asked("--method", "cam", "--noise", "0.2")
    assert again.code == 0 and "evaluated under" not in again.err
    assert outputs(f"{run_of('cam')}/record") == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "cma"), "--method: no run of 'cma'; did you mean 'cam'?"),
        (("--protocol", "bp4d_3fold"), "--protocol: no run of 'bp4d_3fold'"),
        (("--suite", "amff"), "--suite: no suite 'amff'; did you mean 'amf'?"),
        (("--suite", "every_subset"), "--noise: suite 'every_subset' has no noise to change"),
        (("--noise", "much"), "--noise: 'much' is not a list of standard deviations"),
        (("--noise", "-1"), "--noise: "),
        (("--format", "html"), "--format: no format 'html'"),
        (("--run", "nothing"), "nothing: is neither a run's folder nor the id of a run"),
        (("--runs", "elsewhere"), "elsewhere: no finished run"),
    ],
)
def test_bad_usage_is_one_line_and_leaves_nothing(asked, words, told):
    found = asked(*words)
    assert (found.code, found.err.count("\n")) == (2, 1), found.err
    assert found.err.startswith(f"aubench: {told}")
    assert not Path("robustness").exists()


@pytest.mark.slow
def test_a_run_that_fails_does_not_cost_the_others_their_table(asked, monkeypatch):
    def here(jobs, choice, report):
        for job in jobs:
            if job.config.entry.name == "cam":
                report(job, RunFailed("no weights"))
            else:
                job.target(job.config, job.fold, "cpu", 0, lambda event, job=job: report(job, event))
        raise AubenchError("no weights")

    monkeypatch.setattr(engine_run, "run_jobs", here)
    done = asked()
    assert done.code == 2 and done.err.splitlines()[-1] == "aubench: no weights"
    assert "cam, seed 0, fold 1: no weights" in done.err
    assert "| late_fusion " in done.out and "| cam " not in done.out
    assert len(record.read(run_of("late_fusion") / "record").info.conditions) == 9


@pytest.mark.parametrize("form", ["csv", "json"])
def test_stdout_is_one_table_of_all_protocols_for_programs(call, make_record, monkeypatch, form):
    configs = [SimpleNamespace(protocol=SimpleNamespace(name=name)) for name in ("synth_3fold", "synth_vdt_3fold")]
    monkeypatch.setattr(
        execution, "read_stored_records", lambda members: [StoredRecord(Path(), make_record(members[0].protocol.name))]
    )
    monkeypatch.setattr(robustness_figures, "plot", lambda profiles, subtitle, folder: [folder / "curves.png"])

    def evaluate(form, report, **_):
        report(robustness_evaluation._write_robustness(configs, find_suite("amf"), None, form))

    monkeypatch.setattr(api, "evaluate_robustness", evaluate)
    answer = call("robustness", "--format", form)
    assert answer.code == 0 and "wrote" not in answer.out
    written = [answer.err.count(f"wrote robustness/{config.protocol.name}/") for config in configs]
    assert written[0] == written[1] > 1
    table = pd.read_csv(io.StringIO(answer.out)) if form == "csv" else pd.DataFrame(json.loads(answer.out))
    assert list(table.columns[:5]) == ["protocol", "method", "condition", "au", "f1"]
    assert table.groupby("protocol").size().to_dict() == {"synth_3fold": 13, "synth_vdt_3fold": 13}


def test_figures_name_the_seeds_of_each_method(make_record, tmp_path, monkeypatch):
    records = [make_record("amf"), make_record("amf", seed=1), make_record("cam")]
    runs, subtitles = [StoredRecord(tmp_path, each) for each in records], []
    monkeypatch.setattr(execution, "read_stored_records", lambda configs: runs)
    monkeypatch.setattr(robustness_figures, "plot", lambda profiles, subtitle, folder: subtitles.append(subtitle) or [])
    config = SimpleNamespace(protocol=runs[0].info.protocol, seed=0)
    robustness_evaluation._write_robustness([config], find_suite("amf"), tmp_path, "markdown")
    assert subtitles == [("synth_3fold", "seeds: 1 to 2")]


@pytest.mark.parametrize("folder", ["links", "runs/synth_3fold/late_fusion"])
def test_the_name_of_a_link_selects_no_run(fake_run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    link = Path(folder, "latest")
    link.parent.mkdir(parents=True)
    link.symlink_to(fake_run("cam").run_dir)
    with pytest.raises(AubenchError, match="none of 1 runs can be evaluated"):
        package.evaluate_robustness(run=link, method="cam", protocol="synth_3fold", noise="0.1")
    with pytest.raises(AubenchError, match=f"--method: no run of '{link.parent.name}'"):
        package.evaluate_robustness(run=link, method=link.parent.name, noise="0.1")


def test_a_run_with_a_damaged_file_has_the_names_of_its_folders(fake_run, tmp_path, capsys):
    run_dir = fake_run("cam").run_dir
    (run_dir / "run.json").write_text("{")
    with pytest.raises(AubenchError, match="none of 1 runs can be evaluated"):
        package.evaluate_robustness(method="cam", protocol="synth_3fold", runs=tmp_path / "runs", noise="0.1")
    assert "run.json is not JSON" in capsys.readouterr().err
