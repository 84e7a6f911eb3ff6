"""``aubench profile`` and ``aubench bench``: tables, files, and bad input in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from aubench import api
from aubench.api import profiles, speed_runs
from aubench.core.errors import UsageError
from aubench.runs import profiling, speed_report
from aubench.runs.measured_trainer import Extent
from aubench.runs.profiling import PartProfile, Profile, StageProfile
from aubench.runs.speed_report import SpeedCase

SMALL = ("--set", "image_size=32", "--set", "crop=28", "--set", "batch_size=4", "--steps", 1, "--device", "cpu")
SHARES = {"waiting": 0.01, "preparing": 0.09, "training": 0.8, "optimizing": 0.1}
PROFILE = Profile(
    device={"kind": "cuda", "name": "card", "threads": 1},
    peak=None,
    peak_source="unknown",
    stages=(StageProfile("train", 50, 4000.0, SHARES, 2**30, 3 * 10**9, None, 0.5, None),),
    parts=(PartProfile("encoder", 1e9, 0.003), PartProfile("rest", 0.0, 0.001)),
    latency=(0.002, 0.004),
    inference_frames_per_s=9000.0,
)


@pytest.fixture
def in_this_process(monkeypatch):
    """Run the work of a fold process here, with a few short measurements."""
    monkeypatch.setattr(profiling, "RANDOM_FRAMES", 4)
    monkeypatch.setattr(profiling, "INFERENCE_SECONDS", 0.0)
    monkeypatch.setattr(profiling, "LATENCY_CALLS", (2, 2))

    def run(config, choice, work):
        received = []
        work(config, 1, choice.kind, 0, received.append)
        return received[-1]

    monkeypatch.setattr(speed_runs, "run_first_fold", run)


@pytest.mark.slow
def test_table_of_a_method_without_a_store(call, in_this_process):
    done = call("profile", "--method", "late_fusion", "--format", "json", *SMALL)
    assert done.code == 0, done.err
    rows = {(row["part"], row["figure"], row["unit"]): row["value"] for row in json.loads(done.out)}
    assert rows["train", "training", "frames/s"] > 0
    assert rows["classifier", "operations, prediction", "GFLOP/frame"] > 0
    assert rows["prediction", "latency at batch 1, p95", "ms"] >= rows["prediction", "latency at batch 1, p50", "ms"]
    assert "1 steps of preset small" in done.err


@pytest.mark.slow
def test_a_store_is_read(call, in_this_process, small_store):
    done = call("profile", "--method", "resnet_visual", "--store", small_store, "--format", "csv", *SMALL)
    assert done.code == 0, done.err
    assert done.out.startswith("part,figure,value,unit\ntrain,training,")


@pytest.mark.slow
def test_files_of_a_process_of_its_own(call, tmp_path):
    done = call("profile", "--method", "resnet_visual", "--out", "profile", *SMALL)
    assert done.code == 0, done.err
    content = json.loads((tmp_path / "profile/profile.json").read_text())
    assert content["info"]["method"] == "resnet_visual" and content["info"]["data"] == "random"
    assert content["stages"][0]["frames_per_s"] > 0
    assert "traceEvents" in json.loads((tmp_path / "profile/trace-train.json").read_text())
    assert done.out.startswith("| part ") and not list(tmp_path.glob("runs"))


def test_the_latency_of_clips_names_their_frames():
    for length, name in ((None, "batch 1"), (128, "batch 1, a clip of 128 frames")):
        table = profiles.ProfileResults({}, replace(PROFILE, clip_length=length)).to_dataframe().set_index("figure")
        assert table.loc[f"latency at {name}, p50", "value"] == pytest.approx(2)
        assert table.loc[f"latency at {name}, p95", "value"] == pytest.approx(4)


def test_traces_of_an_earlier_profile_are_removed(call, monkeypatch, tmp_path):
    def profile(*stages: str) -> set[str]:
        (stage,) = PROFILE.stages
        figures = replace(PROFILE, stages=tuple(replace(stage, name=name) for name in stages))
        for name in stages:
            (tmp_path / f"trace-{name}.json").write_text("{}")
        monkeypatch.setattr(speed_runs, "run_first_fold", lambda config, choice, work: figures)
        done = call("profile", "--method", "late_fusion", "--out", tmp_path, *SMALL)
        assert done.code == 0, done.err
        return {path.name for path in tmp_path.iterdir()}

    (tmp_path / "trace-mine.json").write_text("{}")
    assert profile("pretrain", "train") >= {"trace-pretrain.json", "trace-train.json"}
    assert profile("train") == {"profile.json", "trace-mine.json", "trace-train.json"}


@pytest.mark.slow
def test_a_stage_of_any_name_has_a_trace(call, in_this_process, tmp_path):
    name = "    def stages(self):\n        return (Stage('warm/up', 1, batch_size=4, patience=1),)\n"
    source = (Path(__file__).parents[2] / "docs" / "examples" / "mean_fusion.py").read_text()
    (tmp_path / "named.py").write_text(f"from aubench import Stage\n{source}\n{name}")
    done = call("profile", "--method", "named.py", "--out", "profile", *SMALL)
    assert done.code == 0, done.err
    assert {path.name for path in Path("profile").iterdir()} == {"profile.json", "trace-warm_up.json"}
    assert "profile/trace-warm_up.json\n" in done.err


def test_unknown_peaks_and_all_figures_are_in_the_table():
    frame = profiles.ProfileResults({}, PROFILE).to_dataframe()
    assert list(frame.columns) == ["part", "figure", "value", "unit"]
    values = {(row.part, row.figure, row.unit): row.value for row in frame.itertuples()}
    assert values["train", "peak memory", "MiB"] == 1024
    assert values["train", "waiting for data", "% of time"] == 1
    assert values["train", "steps from a CUDA graph", "% of steps"] == 50
    assert values["encoder", "time, prediction", "% of time"] == 75
    assert frame[frame["value"].isna()]["figure"].tolist() == ["MFU", "peak speed (unknown)"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--method", "nobody"), "no method 'nobody'"),
        (("--method", "amf", "--preset", "huge"), "no preset 'huge'"),
        (("--method", "amf", "--protocol", "none"), "no protocol 'none'"),
        (("--method", "amf", "--device", "tpu"), "no device 'tpu'"),
        (("--method", "amf", "--precision", "8-bit"), "8-bit"),
        (("--method", "amf", "--precision", "tf32", "--device", "cpu"), "'tf32' needs an NVIDIA GPU"),
        (("--method", "amf", "--format", "latex"), "no format 'latex'"),
        (("--method", "amf", "--modalities", "visual"), "needs two or more modalities"),
        (("--method", "amf", "--steps", "0"), "--steps"),
        (("--method", "amf", "--protocol", "bp4d_3fold", "--store", "nowhere"), "no store of bp4d here"),
        (("--method", "amf", "--out", __file__), "is a file; give the path of a folder"),
        ((), "--method"),
    ],
)
def test_bad_input_is_one_line(call, tmp_path, words, part):
    done = call("profile", *words, *(() if "--out" in words else ("--out", tmp_path / "out")))
    assert done.code == 2 and done.out == "" and not (tmp_path / "out").exists()
    assert part in done.err.splitlines()[-1] and done.err.splitlines()[-1].startswith("aubench: ")


@pytest.mark.slow
def test_bench_writes_every_case(call, in_this_process, tmp_path, monkeypatch):
    monkeypatch.setitem(speed_report.CASES, "cpu", (SpeedCase("resnet_visual", "tiny"),))
    monkeypatch.setitem(speed_report.EXTENTS, "cpu", Extent(1, 1))
    monkeypatch.setitem(speed_report.BATCHES, "cpu", (1,))
    monkeypatch.setattr(speed_report, "FACTORS", (1, 2))
    done = call("bench", "--device", "cpu", "--out", "figures.json")
    assert done.code == 0, done.err
    content = json.loads((tmp_path / "figures.json").read_text())
    (case,) = content["cases"]
    assert case["method"] == "resnet_visual" and case["training"]["harness"] > 0
    assert content["device"]["kind"] == "cpu" and content["packages"]["torch"] and content["date"]


def test_a_failed_case_of_bench_is_an_entry(monkeypatch, tmp_path):
    def fail(config, choice, work):
        raise UsageError("needs more memory than the GPU has")

    monkeypatch.setattr(speed_runs, "run_first_fold", fail)
    content = json.loads(api.bench(tmp_path / "figures.json", device="cpu").read_text())
    assert {case["error"] for case in content["cases"]} == {"needs more memory than the GPU has"}
    assert len(content["cases"]) == len(speed_report.CASES["cpu"])


def test_bench_resumes_and_measures_failed_cases_again(monkeypatch, tmp_path):
    measured, path = [], tmp_path / "figures.json"

    def measure(config, choice, work):
        measured.append(config.entry.name)
        if len(measured) == 2:
            raise UsageError("needs more memory than the GPU has")
        return {"speed": len(measured)}

    monkeypatch.setattr(speed_runs, "run_first_fold", measure)
    for expected in (["late_fusion", "amf"], ["late_fusion", "amf", "amf"], ["late_fusion", "amf", "amf"]):
        cases = json.loads(api.bench(path, device="cpu").read_text())["cases"]
        assert measured == expected
    assert [(case["method"], case["speed"]) for case in cases] == [("late_fusion", 1), ("amf", 3)]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"git": {"commit": "another"}}))
    api.bench(path, device="cpu")
    assert measured[3:] == ["late_fusion", "amf"]
    path.write_text("[1, 2")
    with pytest.raises(UsageError, match=r"holds no figures of `aubench bench`; name another file with --out"):
        api.bench(path, device="cpu")
    assert len(measured) == 5 and path.read_text() == "[1, 2"


@pytest.mark.parametrize(
    ("words", "part"), [(("--out", "."), "is a folder"), (("--out", "x", "--device", "tpu"), "no device 'tpu'")]
)
def test_bad_input_of_bench_is_one_line(call, words, part):
    done = call("bench", *words)
    assert done.code == 2 and part in done.err and done.err.count("\n") == 1
