"""``aubench run``, small but real: folds, seeds, one modality, a stranger's method, and on to the leaderboard."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from factories.brightness import BRIGHTNESS

from aubench.core import registry
from aubench.core.registry import find_protocol
from aubench.metrics.scores import summary_of
from aubench.results import record

SMALL = ("image_size=32", "crop=28", "frames_per_epoch=100", "epochs=2", "validation_stride=8")


@pytest.fixture
def run(call, small_store) -> Callable:
    """Run methods on ``synth_3fold`` in seconds."""
    changes = [word for change in SMALL for word in ("--set", change)]
    words = ("run", "--no-track", "--protocol", "synth_3fold", "--store", small_store, *changes)
    return lambda method, *more: call(*words, "--method", method, *more)


def table(text: str) -> dict[str, list[str]]:
    """Cells of each row of a Markdown table, by its first."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows[2:]}


def records() -> dict[str, dict]:
    return {
        path.parts[2]: json.loads(path.read_text()) for path in sorted(Path("runs").glob("*/*/*/record/record.json"))
    }


@pytest.mark.slow
def test_fold_after_fold_then_finished_then_the_leaderboard(run, call):
    methods = "late_fusion,resnet_visual"
    first = run(methods, "--fold", "1")
    assert first.code == 0, first.err
    assert {name: row[1] for name, row in table(first.out).items()} == dict.fromkeys(methods.split(","), "1/3")
    assert len(re.findall(r"^late_fusion, seed 0, fold 1: train, epoch \d of 2, ", first.err, re.M)) == 2
    kept = {path: path.read_bytes() for path in Path("runs").rglob("fold1/*") if path.is_file()}

    rest = run(methods)
    assert rest.code == 0, rest.err
    assert "fold 2: train" in rest.err and "fold 1: train" not in rest.err
    assert {name: row[1] for name, row in table(rest.out).items()} == dict.fromkeys(methods.split(","), "3/3")
    assert kept.items() <= {path: path.read_bytes() for path in Path("runs").rglob("fold1/*") if path.is_file()}.items()

    again = run(methods)
    assert (again.code, again.out) == (0, rest.out)
    assert again.err.count("finished already, see runs/synth_3fold/") == 2 and "epoch" not in again.err

    added = call("leaderboard", "add", "runs")
    assert (added.code, added.out.count("added leaderboard/records/synth_3fold/")) == (0, 2), added.err
    assert call("leaderboard", "build").code == 0
    assert call("leaderboard", "check").code == 0
    shown = call("leaderboard", "show", "synth_3fold").out
    f1 = summary_of(record.read(next(Path("runs").glob("*/late_fusion/*/record")))).f1_mean
    assert any("late_fusion" in line and f"{100 * f1:.1f}" in line for line in shown.splitlines()), shown


@pytest.mark.slow
def test_what_a_run_leaves_belongs_together(run):
    answer = run("resnet_depth", "--fold", "2", "--seed", "4,5")
    assert answer.code == 0, answer.err
    folders = sorted(Path("runs/synth_3fold/resnet_depth").iterdir())
    test = find_protocol("synth_3fold").test_subjects(2)
    seeds = set()
    for folder in folders:
        header = json.loads((folder / "run.json").read_text())
        seeds.add(header["seed"])
        assert header["run_id"] == folder.name
        assert header["recipe"]["image_size"] == 32 and header["recipe"]["crop"] == 28
        predictions = pd.read_parquet(folder / "fold2" / "predictions.parquet")
        assert set(predictions["subject"]) == test
        result = json.loads((folder / "fold2" / "result.json").read_text())
        assert result["frames"]["test"] == len(predictions)
        assert not set(result["subjects"]["train"] + result["subjects"]["val"]) & test
        assert (folder / "record" / "counts.csv").is_file()
        assert {path.name for path in (folder / "figures").iterdir()} == {"f1_per_au.png", "learning_curves.png"}
    assert seeds == {4, 5}


@pytest.mark.slow
def test_all_that_can_on_one_modality_with_the_last_epoch(run, monkeypatch):
    monkeypatch.setattr(registry, "builtin_methods", lambda: ["cam", "resnet_thermal", "resnet_visual"])
    answer = run("all", "--modalities", "visual", "--selection", "last", "--fold", "1")
    assert answer.code == 0, answer.err
    skipped = dict(re.findall(r"^skipped (\w+): (.+)$", answer.err, re.M))
    assert skipped.keys() == {"cam", "resnet_thermal"}
    assert skipped["resnet_thermal"] == "needs thermal images"
    assert table(answer.out).keys() == {"resnet_visual"}
    record = records()["resnet_visual"]
    assert record["protocol"]["modalities"] == ["visual"]
    assert record["protocol"]["digest"] != find_protocol("synth_3fold").digest
    assert record["selection"] == "last"
    (fold,) = record["folds"]
    assert fold["val"] == [] and fold["best_epoch"] == fold["epochs"] == 2


def test_method_asked_for_by_name_that_cannot_is_an_error(run):
    answer = run("resnet_visual,resnet_thermal")
    assert answer.code == 2
    last = answer.err.splitlines()[-1]
    assert last.startswith("aubench: resnet_thermal: does not support synth_3fold") and "needs thermal images" in last
    assert not Path("runs").exists()


@pytest.mark.slow
def test_method_from_a_file(run):
    Path("brightness.py").write_text(BRIGHTNESS)
    answer = run("brightness.py", "--fold", "3")
    assert answer.code == 0, answer.err
    record = records()["brightness"]
    assert record["method"]["source"] == "path"
    assert record["method"]["file"] == hashlib.sha256(BRIGHTNESS.encode()).hexdigest()
    assert record["compute"]["total"]["parameters"] == 24
    Path("brightness.py").write_text(BRIGHTNESS.replace(".mean(", ".amax("))
    assert run("brightness.py", "--fold", "3").code == 0
    assert len(list(Path("runs/synth_3fold/brightness").iterdir())) == 2, "another method is another run"


@pytest.mark.slow
def test_first_weights_are_a_recipe_value_of_those_that_have_one(run, tmp_path):
    (tmp_path / "mine.py").write_text(BRIGHTNESS)
    answer = run("mine.py", "--pretrained", "imagenet")
    assert answer.code == 2 and "no recipe key 'weights'" in answer.err
    answer = run("late_fusion", "--pretrained", "nowhere.safetensors")
    assert answer.code == 2 and "nowhere.safetensors: no such file" in answer.err and answer.err.count("\n") < 4
    answer = run("late_fusion", "--pretrained", "none", "--fold", "1")
    assert answer.code == 0 and next(iter(records().values()))["pretraining"] == []
