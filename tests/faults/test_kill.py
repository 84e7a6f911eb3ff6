"""Runs killed with ``kill -9`` at random moments: after resumption, their result files equal those of other runs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ["image_size=32", "crop=28", "frames_per_epoch=100", "epochs=3"]
RESULT_FILES = ("predictions.parquet", "counts.csv", "histograms.csv", "checkpoint.safetensors")


def command(store: Path, runs: Path) -> list[str]:
    words = [
        "run",
        "--no-track",
        "--method",
        "amf",
        "--protocol",
        "synth_3fold",
        "--store",
        str(store),
        "--runs",
        str(runs),
    ]
    return [*words, *(word for change in SMALL for word in ("--set", change))]


def run_and_kill_after(lines: int, store: Path, runs: Path, moment: float) -> None:
    """Start the run and kill it ``moment`` seconds after ``lines`` epoch messages."""
    words = [sys.executable, "-m", "aubench.cli", *command(store, runs)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines -= "epoch" in line
            if lines == 0:
                break
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)


def result_files(runs: Path) -> dict[str, bytes]:
    return {str(path.relative_to(runs)): path.read_bytes() for name in RESULT_FILES for path in runs.rglob(name)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_run_killed_twice_equals_one_never_killed(call, small_store, tmp_path):
    uninterrupted, interrupted = tmp_path / "whole", tmp_path / "broken"
    assert call(*command(small_store, uninterrupted)).code == 0
    for lines in (1, 4):
        moment = random.uniform(0, 0.3)
        print(f"killed {moment} s after line {lines}")
        run_and_kill_after(lines, small_store, interrupted, moment)
        assert not list(interrupted.rglob("record.json"))
    done = call(*command(small_store, interrupted))
    assert done.code == 0 and "3/3" in done.out
    assert result_files(interrupted) == result_files(uninterrupted)
    assert (
        len(result_files(uninterrupted)) == 3 * len(RESULT_FILES) + 2
    )  # the record has counts and histograms of its own
    assert not list(interrupted.rglob("*.tmp")), "a killed writer's temporary file stays behind"
