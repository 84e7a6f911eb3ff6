"""Repetition of a record in a checkout of its commit, with a program that stands for the training."""

import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aubench.core.errors import UsageError
from aubench.leaderboard import rerun
from aubench.leaderboard.records import StoredRecord
from aubench.results.run_costs import Time
from aubench.results.schema import Pretraining

PROGRAM = """
import os, shutil, subprocess, sys
words = sys.argv[1:]
open(os.environ["SEEN"], "w").write(" ".join(words) + "\\n" + os.path.realpath(os.path.dirname(__file__)))
open(os.environ["SEEN"] + "_limit", "w").write(os.environ.get("ONEDNN_MAX_CPU_ISA", "none"))
code = subprocess.run(["git", "ls-files", "--others", "--exclude-standard", "aubench"], capture_output=True, check=True)
assert os.path.exists("aubench/methods/here.py") and b"methods" not in code.stdout, code.stdout
if "GIT_CONFIG_COUNT" in os.environ:
    subprocess.run(["git", "config", "core.excludesFile"], stdout=subprocess.DEVNULL, check=True)
if os.environ.get("GIT_CONFIG_KEY_0") == "core.quotePath":
    subprocess.run(["git", "config", "core.quotePath"], stdout=subprocess.DEVNULL, check=True)
if os.environ["RESULT"] == "fails":
    sys.exit(3)
shutil.copytree(os.environ["RESULT"], words[words.index("--runs") + 1] + "/p/m/r/record")
"""


def _git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repeat(tmp_path, make_record, call, monkeypatch):
    """Commit a program, store a row of three seeds of that commit, and repeat the first with a given result."""
    clone = tmp_path / "clone"
    (clone / "aubench" / "cli").mkdir(parents=True)
    (clone / "methods").mkdir()
    (clone / "methods" / "here.py").touch()
    (clone / "aubench" / "__init__.py").touch()
    (clone / "aubench" / "cli" / "__init__.py").touch()
    (clone / "aubench" / "cli" / "__main__.py").write_text(PROGRAM)
    _git(tmp_path, "init", "-q", str(clone))
    _git(clone, "add", ".")
    _git(clone, "commit", "-qm", "first")
    commit = _git(clone, "rev-parse", "HEAD")
    root = clone / "leaderboard"
    row = [_of_commit(make_record(seed=seed, skill=0.8), commit) for seed in (0, 1, 2)]
    for record in row:
        record.write(root / "records" / record.relative_path)
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))

    def repeated(record, *words):
        result = "fails"
        if record is not None:
            result = tmp_path / "result"
            record.write(result)
        monkeypatch.setenv("RESULT", str(result))
        done = call("leaderboard", "reproduce", row[0].info.run, "--root", root, *words)
        assert _git(clone, "worktree", "list").count("\n") == 0
        return done

    repeated.row, repeated.root, repeated.seen = row, root, tmp_path / "seen"
    return repeated


def _of_commit(record, commit, *, dirty=False):
    git = record.info.git.model_copy(update={"commit": commit, "dirty": dirty})
    return replace(record, info=record.info.model_copy(update={"git": git}))


@pytest.mark.slow
def test_the_same_counts_are_equal_and_the_command_runs_in_a_checkout(repeat, tmp_path, monkeypatch):
    for name, value in {"COUNT": "1", "KEY_0": "core.quotePath", "VALUE_0": "false"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    done = repeat(repeat.row[0], "--store", tmp_path / "store")
    assert done.code == 0 and ": equal (F1 " in done.out, done.err
    command, folder = repeat.seen.read_text().split("\n")
    assert command.startswith("run --method late_fusion --protocol synth_3fold --device cpu --preset small --seed 0")
    assert command.endswith(f"--store {tmp_path}/store")
    assert str(tmp_path / "clone") not in folder


@pytest.mark.parametrize(
    ("instructions", "own", "limit"),
    [("AVX2", "", "AVX2"), ("AVX2", "SSE41", "AVX2"), ("AVX512", "AVX2", "none"), (None, "AVX2", "AVX2")],
)
def test_the_cpu_is_limited_to_the_instruction_set_of_the_record(repeat, monkeypatch, instructions, own, limit):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", own)
    record = repeat.row[0]
    device = record.info.device.model_copy(update={"instructions": instructions})
    replace(record, info=record.info.model_copy(update={"device": device})).write(
        repeat.root / "records" / record.relative_path
    )
    assert repeat(record).code == 0
    assert repeat.seen.with_name("seen_limit").read_text() == limit


@pytest.mark.slow
def test_a_repetition_is_stored_under_a_name(repeat):
    later = {"started": "2025-06-07T08:09:10Z", "seconds": 70.0}
    again = replace(repeat.row[0], info=repeat.row[0].info.model_copy(update={"time": Time(**later)}))
    done = repeat(again, "--by", "Some Lab")
    build_command = f"aubench leaderboard build --root {repeat.root}"
    assert done.code == 0, done.err
    assert f"stored the repetition; run `{build_command}` to update the pages" in done.out
    folder = repeat.root.joinpath("reproductions", repeat.row[0].relative_path, "some-lab")
    assert {path.name for path in folder.iterdir()} >= {"reproduction.json", "record.json", "counts.csv"}
    repeat.seen.unlink()
    refused = repeat(again, "--by", "Some Lab")
    assert refused.code == 2 and "has repeated this run already" in refused.err and not repeat.seen.exists()


@pytest.mark.slow
def test_the_result_is_named_also_if_the_repetition_cannot_be_stored(repeat):
    done = repeat(repeat.row[0], "--by", "Some Lab")
    assert done.code == 2 and "this is a copy of its record" in done.err and ": equal (F1 " in done.err
    assert done.err.count("\n") == 1 and not (repeat.root / "reproductions").exists()


@pytest.mark.slow
def test_another_seed_is_equal_within_noise(repeat, make_record):
    done = repeat(make_record(seed=7, skill=0.8))
    assert done.code == 0 and "equal within noise" in done.out and "another of 3 seeds" in done.out


@pytest.mark.slow
def test_a_much_better_or_worse_result_is_different(repeat, make_record):
    for skill in (0.2, 1.5):
        done = repeat(make_record(seed=0, skill=skill))
        assert done.code == 1 and ": different (F1 " in done.err and done.out == ""


def test_a_run_that_fails_is_one_line(repeat):
    done = repeat(None)
    assert done.code == 2 and "ends with code 3; its output is above" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.slow
def test_one_seed_is_compared_by_subjects(make_record, tmp_path):
    first, near, far = (StoredRecord(tmp_path, make_record(seed=9, skill=skill)) for skill in (0.8, 0.81, 0.2))
    assert rerun.compare(first, near, [first]).outcome == "equal within noise"
    assert rerun.compare(first, far, [first]).outcome == "different"


def test_runs_that_cannot_be_repeated_are_refused_with_the_reason(repeat, make_record, tmp_path):
    record = repeat.row[0]
    commit = record.info.git.commit
    external = record.info.method.model_copy(update={"source": "path", "file": "f" * 64})
    start = Pretraining(stage="initialisation", source="run 1a", datasets=("bp4d",), run="1a")
    stage = Pretraining(stage="pretrain", source="own", datasets=("video",), frames=5, seconds=1.0, store="e" * 64)
    for changed, reason in (
        (_of_commit(record, commit, dirty=True), "uncommitted changes"),
        (_of_commit(record, None, dirty=None), "unknown commit"),
        (replace(record, info=record.info.model_copy(update={"method": external})), "from outside this repository"),
        (replace(record, info=record.info.model_copy(update={"pretraining": (start,)})), "weights of another run"),
        (replace(record, info=record.info.model_copy(update={"pretraining": (stage,)})), "on another store"),
        (_of_commit(make_record(folds=(1, 2)), commit), "has 2 of 3 folds"),
    ):
        assert reason in rerun.why_not_repeatable(StoredRecord(tmp_path, changed))
    assert rerun.why_not_repeatable(StoredRecord(tmp_path, record)) is None


def test_a_row_that_cannot_be_read_is_an_error_before_the_run(repeat):
    path = repeat.root / "records" / repeat.row[1].relative_path / "record.json"
    path.write_text("[")
    done = repeat(None)
    assert done.code == 2 and done.err.startswith(f"aubench: {path}: record: Invalid JSON")


@pytest.mark.parametrize("seed", [0, 1])
def test_a_row_with_wrong_numbers_is_an_error_before_the_run(repeat, seed):
    table = repeat.root / "records" / repeat.row[seed].relative_path / "counts.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    done = repeat(repeat.row[0])
    assert done.code == 2 and done.err.startswith(f"aubench: {table}: ") and "is missing" in done.err
    assert not repeat.seen.exists()


def test_a_run_that_is_also_a_variant_is_that_of_the_leaderboard(repeat):
    record = repeat.row[0]
    record.write(repeat.root / "variants" / "records" / record.relative_path)
    assert rerun.find_run(repeat.root, record.info.run).folder == repeat.root / "records" / record.relative_path


def test_an_unknown_run_and_a_lost_commit_are_errors(repeat, make_record):
    with pytest.raises(UsageError, match="no run 'zz'"):
        rerun.find_run(repeat.root, "zz")
    for name in ("zy123456", "zy654321"):
        (repeat.root / "records" / "synth_3fold" / "cam" / name).mkdir(parents=True)
    with pytest.raises(UsageError, match=r"2 runs begin with 'zy'; known: zy123456, zy654321$"):
        rerun.find_run(repeat.root, "zy")
    lost = _of_commit(make_record("amf", skill=0.9), "be" * 20)
    lost.write(repeat.root / "records" / lost.relative_path)
    with pytest.raises(UsageError, match="cannot check out bebebebebebe"):
        rerun.reproduce_run(repeat.root, lost.info.run)


@pytest.mark.slow
def test_the_script_of_the_weekly_workflow_repeats_a_row(repeat, tmp_path, monkeypatch):
    repeat.row[0].write(tmp_path / "again")
    monkeypatch.setenv("RESULT", str(tmp_path / "again"))
    scripts = Path(__file__).parents[2] / ".github" / "scripts"
    script = runpy.run_path(str(scripts / "reproduce-random-row"))["main"]
    codes = {script(repeat.root, tmp_path / "summary.md", seed, install=False) for seed in "abc"}
    assert codes == {0} and ": equal" in (tmp_path / "summary.md").read_text()
    monkeypatch.setenv("RESULT", "fails")
    assert script(repeat.root, tmp_path / "summary.md", "a", install=False) == 2
    assert "ends with code 3" in (tmp_path / "summary.md").read_text()
    assert script(tmp_path / "empty", tmp_path / "summary.md", "a") == 0


@pytest.mark.slow
def test_the_libraries_of_the_commit_are_installed_on_request(repeat, tmp_path, monkeypatch):
    repeat.row[0].write(tmp_path / "again")
    monkeypatch.setenv("RESULT", str(tmp_path / "again"))
    run, commands = subprocess.run, []

    def fake(command, **options):
        commands.append(command)
        installs = "venv" in command or "pip" in command
        return subprocess.CompletedProcess(command, 0) if installs else run(_with_this_python(command), **options)

    def _with_this_python(command):
        return [sys.executable if str(word).endswith(".venv/bin/python") else word for word in command]

    monkeypatch.setattr(subprocess, "run", fake)
    assert rerun.reproduce_run(repeat.root, repeat.row[0].info.run, install=True).outcome == "equal"
    (venv,) = (command for command in commands if "venv" in command)
    (pip,) = (command for command in commands if "pip" in command)
    assert pip[0].startswith(venv[-1]) and pip[-1] == ".[train]" and "constraints.txt" in pip
