"""The Python interface: same record as the command, DataFrames with the documented columns, no ``__main__`` guard."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import aubench as package
from aubench import api
from aubench._util import atomic
from aubench.api import execution, paper_exhibits, planning
from aubench.api.formats import check_form, frame_text
from aubench.api.leaderboards import LeaderboardResults
from aubench.core.errors import AubenchError, DataError, RecordError, UsageError
from aubench.core.registry import find_protocol
from aubench.metrics.scores import METRICS, summary_of
from aubench.papers.paper_figures import FIGURES
from aubench.results import record as record_file
from aubench.runs import devices, run_file
from aubench.runs.config import RunConfig
from aubench.runs.run_options import RunOptions

ROOT = Path(__file__).parents[1]
SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 100, "epochs": 1, "validation_stride": 8}
SCRIPT = """
import aubench

print("script starts")
overrides = {overrides}
results = aubench.run("late_fusion", "synth_3fold", overrides=overrides, store={store!r}, device="cpu")
print(results.to_dataframe().to_json(orient="records"))
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory, small_store) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Run a script without a ``__main__`` guard; return its folder and output."""
    folder = tmp_path_factory.mktemp("script")
    path = folder / "experiment.py"
    path.write_text(SCRIPT.format(overrides=SMALL, store=str(small_store)))
    done = subprocess.run(
        [sys.executable, path.name],
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return folder, done


def columns(function: object) -> set[str]:
    """Return the column names in the ``Returns`` section of a docstring."""
    text = (getattr(function, "__doc__", None) or "").split("Returns:")[1]
    return set(re.findall(r"``([a-z][a-z0-9_ ]*)``", text))


@pytest.mark.slow
def test_a_script_needs_no_main_guard_and_shows_progress(script):
    folder, done = script
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "script starts" and len(lines) == 2, "worker processes do not run the script"
    (row,) = json.loads(lines[1])
    assert (row["method"], row["protocol"], row["seed"], row["folds"]) == ("late_fusion", "synth_3fold", 0, 3)
    assert len(re.findall(r"^late_fusion, seed 0, fold \d: train, epoch 1 of 1, loss ", done.stderr, re.M)) == 3
    assert "labelled frames" in done.stderr
    assert not list(folder.rglob("mlflow.db")), "tracking is off by default"


@pytest.mark.slow
def test_the_command_makes_the_same_record(script, call, small_store):
    folder, _ = script
    changes = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    words = ("run", "--no-track", "--method", "late_fusion", "--protocol", "synth_3fold", "--device", "cpu")
    done = call(*words, "--store", small_store, *changes)
    assert done.code == 0, done.err
    (ours,), (theirs,) = (list((path / "runs").glob("*/*/*/record")) for path in (folder, Path.cwd()))
    assert ours.relative_to(folder) == theirs.relative_to(Path.cwd()), "the run ids are equal"
    for name in ("counts.csv", "histograms.csv"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


@pytest.mark.slow
def test_predictions_of_a_run_scored_again_give_its_counts(script, small_store, tmp_path):
    folder, _ = script
    (ours,) = (folder / "runs").glob("*/*/*/record")
    results = package.score(ours.parent, "synth_3fold", "copy", store=small_store, out=tmp_path)
    for name in ("counts.csv", "histograms.csv"):
        assert (results.stored_records[0].folder / name).read_bytes() == (ours / name).read_bytes()
    tables = [pd.read_parquet(path).assign(fold=path.parent.name[4:]) for path in ours.parent.glob("fold*/*.parquet")]
    pd.concat(tables).to_csv(tmp_path / "predictions.csv", index=False)
    again = package.score(tmp_path / "predictions.csv", "synth_3fold", "copy", store=small_store, out=tmp_path)
    assert again.records[0].info == results.records[0].info
    compared = package.compare([ours.parent, results.stored_records[0].folder]).to_dataframe()
    assert (compared.loc[compared["minus"].notna(), "f1"] == 0).all()


@pytest.mark.slow
def test_results_of_a_finished_run_are_returned_without_training(script, small_store, monkeypatch, capfd):
    folder, _ = script
    monkeypatch.chdir(folder)
    reported: list[api.Results] = []
    results = package.run(
        ["late_fusion"], "synth_3fold", seeds=[0], overrides=SMALL, store=small_store, report=reported.append
    )
    assert reported == [results]
    assert "finished already" in capfd.readouterr().err
    (row,) = results.to_dataframe().to_dict("records")
    assert row["f1"] == summary_of(results.records[0]).f1_mean
    assert row["run"] in row["folder"] and "late_fusion" in results.summary()


@pytest.mark.slow
def test_a_damaged_record_does_not_hide_the_reason(script, small_store, monkeypatch, tmp_path):
    shutil.copytree(script[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    (record,) = Path("runs").rglob("record.json")
    record.write_text("{")

    def fail(*args):
        raise AubenchError("no cuda device")

    monkeypatch.setattr(execution, "train", fail)
    with pytest.raises(AubenchError, match="no cuda device"):
        package.run("late_fusion", "synth_3fold", overrides=SMALL, store=small_store)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "--method: is missing"),
        ({"method": "amf"}, "--protocol: is missing"),
        ({"method": "amff", "protocol": "synth_3fold"}, "did you mean 'amf'"),
        ({"method": "amf", "protocol": "synth_3fold", "seeds": [-1]}, "'-1' is not a seed"),
        ({"method": "amf", "protocol": "synth_3fold", "seeds": []}, "no seed"),
        ({"method": "amf", "protocol": "synth_3fold", "selection": "best"}, "--selection: cannot be 'best'"),
        ({"method": "amf", "from_study": "s"}, "--from-study: sets method, protocol, folds and recipe; omit --method"),
    ],
)
def test_bad_arguments_raise(arguments, message, small_store, tmp_path):
    with pytest.raises(AubenchError, match=re.escape(message)):
        package.run(**arguments, store=small_store, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


RUN = {"method": "amf", "protocol": "synth_3fold"}


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("run", {**RUN, "seeds": True}, "'True' is not a seed"),
        ("run", {**RUN, "seeds": 1.5}, "'1.5' is not a seed"),
        ("run", {**RUN, "modalities": []}, "--modalities: names none; known: visual, depth"),
        ("run", {**RUN, "overrides": [1]}, "overrides: [1] is no dictionary"),
        ("run", {**RUN, "overrides": "epochs=3"}, "overrides: 'epochs=3' is no dictionary"),
        ("run", {**RUN, "preset": 3}, "--preset: no preset '3'"),
        ("run", {**RUN, "preset": ["small"]}, "--preset: no preset '['small']'"),
        ("run", {**RUN, "protocol": ["synth_3fold"]}, "--protocol: no protocol '['synth_3fold']'; did you mean"),
        ("run", {**RUN, "engine": 3}, "--engine: no engine '3'"),
        ("run", {**RUN, "device": 3}, "--device: no device '3'"),
        ("run", {**RUN, "devices": 1.5}, "--devices: cannot be 1.5; give a whole number"),
        ("run", {**RUN, "nodes": "2", "engine": "slurm"}, "--nodes: cannot be '2'"),
        ("run", {**RUN, "runs_per_device": None}, "--runs-per-device: cannot be None"),
        ("run", {**RUN, "slurm": 3, "engine": "slurm"}, "--slurm: cannot be 3; give a text"),
        ("run", {**RUN, "gpus_per_fold": "1", "engine": "ray"}, "--gpus-per-fold: cannot be '1'"),
        ("run", {**RUN, "gpus_per_fold": True, "engine": "ray"}, "--gpus-per-fold: cannot be True"),
        ("run", {**RUN, "devices": True}, "--devices: cannot be True; give a whole number"),
        ("run", {**RUN, "address": 6380, "engine": "ray"}, "--address: cannot be 6380; give a text such as HOST:PORT"),
        ("run", {**RUN, "method": 3}, "3 is no name"),
        ("run", {**RUN, "method": []}, "--method: names none"),
        ("tune", {**RUN, "method": [], "trials": 3}, "--method: names none"),
        ("run", {**RUN, "store": 3}, "3 is no path"),
        ("run", {**RUN, "store": ""}, "a path is empty"),
        ("run", {**RUN, "runs": 3}, "3 is no path"),
        ("tune", {**RUN, "trials": "3"}, "--trials: cannot be '3'"),
        ("tune", {**RUN, "trials": 3, "sampler": None}, "--sampler: cannot be None; known: cmaes, gp, random, tpe"),
        ("tune", {**RUN, "trials": 3, "sampler": dict}, "--sampler: cannot be <class"),
        ("tune", {**RUN, "trials": 3, "pruner": 3}, "--pruner: cannot be 3"),
        ("tune", {**RUN, "trials": 3, "storage": Path("studies.db")}, "'studies.db' is not a storage"),
        ("tune", {**RUN, "trials": 3, "overrides": [1]}, "overrides: [1] is no dictionary"),
        ("evaluate_robustness", {"suite": ["amf"]}, "--suite: no suite '['amf']'; did you mean 'amf'?"),
        ("evaluate_robustness", {"noise": ["x"]}, "--noise: '['x']' is not a list of standard deviations"),
        ("evaluate_robustness", {"noise": [None]}, "--noise: '[None]' is not a list of standard deviations"),
        ("evaluate_robustness", {"noise": True}, "--noise: '[True]' is not a list of standard deviations"),
        ("evaluate_robustness", {"noise": [True]}, "--noise: '[True]' is not a list of standard deviations"),
        ("run", {**RUN, "seeds": np.array([0.0])}, "'0.0' is not a seed"),
        ("run", {**RUN, "seeds": np.array(1.5)}, "'1.5' is not a seed"),
        ("run", {**RUN, "seeds": np.zeros((2, 2), int)}, "'[0 0]' is not a seed"),
        ("run", {**RUN, "seeds": np.True_}, "'True' is not a seed"),
        ("run", {**RUN, "store": {"bp4d": "x"}}, "--store: 'bp4d' is no data set of the protocol; known: synth"),
        ("run", {**RUN, "store": {"synth": None}}, "None is no path"),
        ("tune", {**RUN, "trials": 3, "seed": [0, 1]}, "--seed: [0, 1] is not a seed"),
        ("tune", {**RUN, "trials": True}, "--trials: cannot be True"),
        ("compare", {"runs": 3}, "3 is no path"),
        ("compare", {"runs": "nowhere", "condition": None}, "--condition: cannot be None; give a text such as"),
        ("load_results", {"path": 3}, "3 is no path"),
    ],
)
def test_arguments_of_the_wrong_type_raise(function, arguments, message, small_store, tmp_path):
    places = {} if function in ("compare", "load_results") else {"store": small_store, "runs": tmp_path / "runs"}
    with pytest.raises(AubenchError, match=re.escape(message)):
        getattr(package, function)(**places | arguments)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("prepare_store", {"dataset": 3}, "no data set '3'; known: bp4d"),
        ("prepare_store", {"dataset": ["synth"]}, "no data set '['synth']'; did you mean 'synth'?"),
        ("check_store", {"dataset": 3}, "no data set '3'; known: bp4d"),
        ("export_store", {"store": 3, "out": "new"}, "3 is no path"),
        ("write_label_counts", {"store": 3, "out": "new"}, "3 is no path"),
        ("simulate_delivery", {"dataset": ["bp4d"], "out": "new", "labels_only": True}, "cannot simulate '['bp4d']'"),
    ],
)
def test_names_of_stores_of_the_wrong_type_raise(function, arguments, message):
    with pytest.raises(AubenchError, match=re.escape(message)):
        getattr(api, function)(**arguments)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("plot_reconstructions", {"run": "nowhere", "mask": []}, "--mask: '[]' is not a list of mask ratios"),
        ("plot_reconstructions", {"run": "nowhere", "frames": 0}, "--frames: cannot be 0"),
        ("plot_reconstructions", {"run": "nowhere", "frames": -1}, "--frames: cannot be -1"),
        ("plot_cut_switch", {"method": "amf", "protocol": "synth_3fold", "frames": 0}, "--frames: cannot be 0"),
        ("plot_studies", {"studies": []}, "studies: names no study"),
    ],
)
def test_figures_of_nothing_are_refused(function, arguments, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        getattr(api, function)(**arguments)


@pytest.mark.parametrize("seeds", [np.arange(2), [np.int64(0), np.uint8(1), 0], np.array([0, 1, 1])])
def test_seeds_may_be_numbers_of_numpy(seeds):
    assert planning.check_seeds(seeds) == [0, 1] and {type(seed) for seed in planning.check_seeds(seeds)} == {int}
    assert planning.check_seed(seeds[1]) == planning.check_count(seeds[1], "--trials") == 1


def test_stores_may_be_given_by_the_names_of_their_data_sets(small_store):
    protocol = find_protocol("synth_3fold")
    opened = planning.open_data(protocol, {"synth": small_store})
    assert opened.info.digest == planning.open_data(protocol, small_store).info.digest
    assert opened.info.digest == planning.open_data(protocol, {"synth": str(small_store)}).info.digest


@pytest.mark.parametrize("names", ["all", ["all"]])
def test_all_exhibits_may_be_named_in_a_list(names, monkeypatch, small_store, tmp_path):
    class Selected(Exception):
        pass

    def select(root, names):
        assert names is None
        raise Selected

    monkeypatch.setattr("aubench.papers.exhibits.find_exhibits", select)
    with pytest.raises(Selected):
        package.reproduce(names, store=small_store, out=tmp_path)


def test_a_single_level_of_noise_needs_no_list(small_store, tmp_path):
    with pytest.raises(AubenchError, match="no finished run"):
        package.evaluate_robustness(noise=0.1, store=small_store, runs=tmp_path / "runs")


@pytest.fixture
def runs(tmp_path, make_record) -> Path:
    """Return a folder of finished runs, two of ``amf`` and one of ``late_fusion``, and one unfinished run."""
    records = [make_record("amf", seed=seed, skill=1.2) for seed in (0, 1)]
    for record in [*records, make_record("late_fusion", skill=0.7), make_record("cam", folds=(1,))]:
        record.write(tmp_path / "runs" / record.relative_path / "record")
    return tmp_path / "runs"


@pytest.mark.slow
def test_runs_are_loaded_with_the_documented_columns(runs):
    results = package.load_results(runs)
    frame = results.to_dataframe()
    assert set(frame.columns) == columns(api.Results.to_dataframe)
    assert sorted(zip(frame["method"], frame["seed"], strict=True)) == [("amf", 0), ("amf", 1), ("late_fusion", 0)]
    for record, (_, row) in zip(results.records, frame.iterrows(), strict=True):
        assert [row[name] for name in METRICS.names()] == [summary_of(record).value(name) for name in METRICS.names()]
        assert row["f1_over_low"] < row["f1_over_always_positive"] < row["f1_over_high"]
    assert [finding.what.split(";")[0] for finding in results.skipped_runs] == ["has 1 of 3 folds"]


@pytest.mark.slow
def test_a_copy_of_a_run_counts_once(runs):
    amf = next(path for path in runs.glob("*/amf/*") if record_file.read(path / "record").info.seed == 0)
    shutil.copytree(amf, amf.parent / "0_backup")
    (runs / "link").symlink_to(amf.parent, target_is_directory=True)
    results = package.load_results(runs)
    assert results.to_dataframe()["seed"].tolist().count(0) == 2  # one of amf, one of late_fusion
    assert f"is a copy of {amf / 'record'}" in [finding.what for finding in results.skipped_runs]
    assert {stored.folder.parent.parent.name for stored in results.stored_records} == {"amf", "late_fusion"}


@pytest.mark.slow
def test_linked_runs_are_loaded_and_compared(runs, tmp_path):
    linked = tmp_path / "linked" / "synth_3fold"
    linked.mkdir(parents=True)
    for folder in runs.glob("*/*"):
        (linked / folder.name).symlink_to(folder, target_is_directory=True)
    (linked / "amf_again").symlink_to("amf", target_is_directory=True)
    (linked / "loop").symlink_to(linked, target_is_directory=True)
    assert len(package.load_results(linked).records) == 3
    assert package.compare(linked).to_dataframe().equals(package.compare(runs).to_dataframe())


@pytest.mark.slow
def test_a_leaderboard_is_loaded(small_board, edit):
    frame = package.load_results(small_board).to_dataframe()
    assert sorted(frame["method"]) == ["amf", "late_fusion"]
    next(small_board.glob("records/*/amf/*/counts.csv")).write_text("nonsense")
    with pytest.raises(RecordError):
        package.load_results(small_board)


@pytest.mark.slow
def test_edited_counts_are_not_loaded(small_board, runs):
    for folder in (small_board, runs):
        path = next(folder.rglob("amf/**/counts.csv"))
        table = pd.read_csv(path)
        right = table.assign(tp=table["tp"] + table["fn"], tn=table["tn"] + table["fp"], fp=0, fn=0)
        right.to_csv(path, index=False, lineterminator="\n")
        with pytest.raises(RecordError, match=path.parent.name):
            package.load_results(folder)


@pytest.mark.parametrize(
    ("predictions", "seed", "says"),
    [([], 0, "no predictions"), ("p.csv", 1.5, r"1\.5 is not a seed"), ("p.csv", "1", "'1' is not a seed")],
)
def test_arguments_of_scores_are_checked(predictions, seed, says):
    with pytest.raises(UsageError, match=says):
        package.score(predictions, "synth_3fold", "mine", seed=seed)


def test_a_method_with_several_names_is_run_once(small_store, monkeypatch):
    monkeypatch.chdir(ROOT / "docs" / "examples")
    names = ["mean_fusion.py", "./mean_fusion.py", str(ROOT / "docs" / "examples" / "mean_fusion.py")]
    configs = planning.plan_runs(names, find_protocol("synth_3fold"), RunOptions(), [0, 1], small_store)
    assert [config.seed for config in configs] == [0, 1]


@pytest.mark.parametrize("option", ["method", "protocol"])
def test_no_name_selects_no_run(tmp_path, fake_run, option):
    fake_run()
    with pytest.raises(UsageError, match=f"--{option}: names none; give one or more, or omit it"):
        package.evaluate_robustness(**{option: []}, runs=tmp_path / "runs")


def finished_run(config: RunConfig) -> RunConfig:
    """Return the run with the file that marks each fold as finished."""
    run_file.write(config, {})
    names = ("fold", "epochs", "best_epoch", "seconds", "train_frames_per_s", "inference_frames_per_s", "frames")
    more = ("subjects", "pretraining", "train_prevalence", "checkpoint")
    for fold in config.protocol.fold_numbers():
        atomic.write_json(config.fold_dir(fold) / "result.json", dict.fromkeys((*names, *more)))
    return config


def test_runs_of_protocols_of_one_name_are_not_mixed(decide, small_store, tmp_path):
    original = (ROOT / "protocols" / "synth_3fold.toml").read_text()
    changes = {"one": [], "other": [("aus = [1, 2,", "aus = [2,"), ("version = 1", "version = 2")]}
    for folder, replacements in changes.items():
        text = original.replace('"synth_3fold"', '"mine"')
        for old, new in replacements:
            text = text.replace(old, new)
        atomic.write_text(tmp_path / folder / "mine.toml", text)
        finished_run(decide(tmp_path / "runs", "late_fusion", protocol=str(tmp_path / folder / "mine.toml")))
    with pytest.raises(UsageError, match=r"has another content of protocol mine than .*; select runs of one with"):
        package.evaluate_robustness(runs=tmp_path / "runs", store=small_store, device="cpu", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_name_reproduces_nothing(small_store):
    with pytest.raises(UsageError, match="reproduce: names no table or figure; give one or more, or all"):
        package.reproduce([], root=ROOT / "leaderboard", store=small_store)


def test_loading_from_nowhere_raises(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        package.load_results(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no record of a finished run"):
        package.load_results(tmp_path)


@pytest.mark.slow
def test_results_are_loaded_and_compared_without_torch(runs):
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'mlflow', 'optuna', 'cv2', 'matplotlib', 'timm')))\n"
        "import aubench\n"
        f"print(len(aubench.load_results({str(runs)!r}).to_dataframe()))\n"
        f"print(len(aubench.compare([{str(runs)!r}]).to_dataframe()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "3" and int(done.stdout.splitlines()[1]) > 2


@pytest.mark.slow
def test_a_comparison_has_the_documented_columns(runs):
    results = package.compare([runs])
    assert package.compare(str(runs)).to_dataframe().equals(results.to_dataframe())
    assert results.render("md") == results.render("markdown")
    with pytest.raises(AubenchError, match="nothing to compare"):
        package.compare([])
    frame = results.to_dataframe()
    assert set(frame.columns) == columns(type(results).to_dataframe) - {"mean"}
    assert frame["method"].iloc[0] == "amf" and frame["rank"].iloc[0] == 1
    written = json.loads(results.render("json"))
    assert [row["f1"] for row in written] == frame["f1"].tolist()
    assert [finding.path.parts[-3] for finding in results.skipped_runs] == ["cam"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "json"])
def test_tables_of_commands_are_the_dataframes(call, runs, small_board, form):
    root = ("--root", small_board)
    for words, frame in (
        (("compare", runs), package.compare([runs]).to_dataframe()),
        (("leaderboard", "show", *root), api.load_leaderboard(small_board).to_dataframe()),
        (("protocols",), api.list_protocols()),
    ):
        done = call(*words, "--format", form)
        assert done.code == 0, done.err
        assert done.out == frame_text(frame, form)
        assert len(frame) > 1


def test_a_leaderboard_table_has_the_documented_columns(small_board):
    frame = api.load_leaderboard(small_board, "synth_3fold").to_dataframe()
    documented = columns(LeaderboardResults.to_dataframe)
    assert documented <= set(frame.columns)
    assert set(METRICS.names()) <= set(frame.columns)
    assert frame["method"].tolist()[-2:] == ["always positive", "prevalence"] and frame["rank"].isna().sum() == 2


@pytest.mark.slow
def test_methods_are_listed_in_every_format(call, monkeypatch):
    from aubench.core import registry

    monkeypatch.setattr(registry, "method_names", lambda: ["late_fusion", "resnet_visual"])
    rows = json.loads(call("methods", "--format", "json").out)
    assert [row["method"] for row in rows] == ["late_fusion", "resnet_visual"]
    assert all(row["parameters"] > 10**6 and row["paper"] for row in rows)
    markdown, alias = (call("methods", "--format", form).out for form in ("markdown", "md"))
    assert markdown == alias and f"{rows[0]['parameters'] / 1e6:.1f} M" in markdown
    assert call("methods", "--format", "csv").out.splitlines()[0] == ",".join(rows[0])


@pytest.mark.slow
def test_exhibits_are_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("AUBENCH_STORES", str(tmp_path))
    frame = api.list_exhibits(root=ROOT / "leaderboard", runs=tmp_path / "runs")
    assert set(frame.columns) == columns(api.list_exhibits)
    assert set(FIGURES) < set(frame["name"]) and frame["runs"].iloc[-1] == 70


@pytest.mark.slow
def test_a_table_without_runs_is_reproduced(tmp_path, small_store):
    results = package.reproduce(
        "mcm-table-2", root=ROOT / "leaderboard", store=small_store, out=tmp_path / "out", runs=tmp_path / "runs"
    )
    assert [path.name for path in results.paths] == ["mcm-table-2.md"]
    frame = results.to_dataframe()
    assert list(frame.columns) == list(paper_exhibits.COLUMNS)
    assert set(frame.columns) <= columns(type(results).to_dataframe)
    assert frame["measured"].isna().all() and frame["reported"].notna().any() and (frame["reason"] != "").all()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (package.run, {"method": "amf", "protocol": "synth_3fold"}),
        (package.tune, {"method": "amf", "protocol": "synth_3fold", "trials": 1}),
        (package.reproduce, {"names": "amf-table-1", "root": ROOT / "leaderboard"}),
    ],
)
def test_commands_name_the_engine_of_the_folds_before_they_plan(
    function, arguments, monkeypatch, small_store, tmp_path
):
    """Workers of this machine are of no use to a cluster."""
    engines = []
    monkeypatch.setattr(
        "aubench.runs.fold_process.preload_workers", lambda engine="local": engines.append(engine) or 1 / 0
    )
    monkeypatch.setattr("aubench.engines.choice.choose_engine", lambda *_, **__: devices.choose("cpu"))
    with pytest.raises(ZeroDivisionError):
        function(**arguments, engine="slurm", store=small_store, runs=tmp_path)
    assert engines == ["slurm"]


IMPORTED_BEFORE_WORKERS = """
import sys
import aubench
from aubench.api import profiles, speed
from aubench.runs import fold_process

def stop(engine="local"):
    raise InterruptedError

fold_process.preload_workers = stop
plan = {"method": "amf", "protocol": "synth_3fold"}
calls = [
    (aubench.run, plan), (aubench.tune, {**plan, "trials": 1}), (profiles.profile, plan), (speed.bench, {"out": "out"}),
    (aubench.evaluate_robustness, {}),
]
for function, arguments in calls:
    try:
        function(**arguments)
    except InterruptedError:
        print(function.__name__, sorted({"torch", "pandas", "numpy", "optuna"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_commands_and_their_workers_import_at_the_same_time(tmp_path):
    words = [sys.executable, "-c", IMPORTED_BEFORE_WORKERS]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=True)
    names = ("run", "tune", "profile", "bench", "evaluate_robustness")
    assert done.stdout.splitlines() == [f"{name} []" for name in names]


def test_formats_have_one_alias():
    assert check_form("md") == "markdown"
    with pytest.raises(UsageError, match="--format: no format 'html'"):
        check_form("html")


def test_the_version_has_one_source(call):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert package.__version__ == declared
    assert call("--version").out == f"aubench {declared}\n"


PLUGIN = '''
"""Metric in a file."""

from aubench.metrics.scores import Metric, accuracy

twice = Metric("twice_acc", "2 ACC", "Twice the accuracy", "counts", lambda cells: 2 * accuracy(cells))
'''


@pytest.mark.slow
@pytest.mark.parametrize("form", ["--plugin=mine.py", "--plugin mine.py"])
def test_a_plugin_file_is_loaded_before_the_command(aubench, call, runs, tmp_path, form):
    (tmp_path / "mine.py").write_text(PLUGIN)
    make = call("leaderboard", "add", runs, "--root", "board")
    assert make.code == 0, make.err
    shown = aubench(*form.split(), "leaderboard", "show", "--root", "board", "--format", "json")
    assert shown.returncode == 0, shown.stderr
    for row in json.loads(shown.stdout):
        assert row["twice_acc"] == pytest.approx(2 * row["acc"], abs=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [(["--plugin", "nowhere.py", "protocols"], "nowhere.py: no such file"), (["--plugin"], "requires an argument")],
)
def test_a_missing_plugin_file_is_one_line(aubench, words, message):
    done = aubench(*words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_a_plugin_file_with_the_separator_of_paths_is_one_line(call, tmp_path):
    (tmp_path / "a:b").mkdir()
    path = tmp_path / "a:b" / "blur.py"
    path.write_text("")
    done = call("--plugin", path, "methods")
    assert done.code == 2 and f"{path}: has a ':', which separates plug-ins; rename the file or folder" in done.err


def test_results_have_a_short_representation():
    results = package.load_results(ROOT / "leaderboard")
    assert repr(results) == f"<Results: {len(results.records)} rows, see to_dataframe()>"
    assert results._repr_html_().count("<tr") < 30
