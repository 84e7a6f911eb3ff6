"""``kill -9`` at random moments, then the same command: nothing shows in what the run leaves."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ["image_size=32", "crop=28", "frames_per_epoch=400", "epochs=6"]
LEFT = ("predictions.parquet", "counts.csv", "histograms.csv", "checkpoint.safetensors")


def command(store: Path) -> list[str]:
    words = [sys.executable, "-m", "aubench.cli", "run", "--no-track", "--method", "amf", "--protocol", "synth_3fold"]
    return [*words, "--store", str(store), *(word for change in SMALL for word in ("--set", change))]


def run_and_kill_after(lines: int, store: Path, folder: Path, moment: float) -> None:
    """Start the run, and kill it without warning so many seconds after it has said so many epochs."""
    with subprocess.Popen(command(store), cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines -= "epoch" in line
            if lines == 0:
                break
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)


def left(folder: Path) -> dict[str, bytes]:
    runs = folder / "runs"
    return {str(path.relative_to(runs)): path.read_bytes() for name in LEFT for path in runs.rglob(name)}


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_run_killed_three_times_equals_one_never_killed(small_store, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    subprocess.run(command(small_store), cwd=whole, check=True, capture_output=True)
    for lines in (1, 3, 5):
        moment = random.uniform(0, 0.3)
        print(f"killed {moment} s after line {lines}")
        run_and_kill_after(lines, small_store, broken, moment)
        assert not list(broken.rglob("record.json"))
    done = subprocess.run(command(small_store), cwd=broken, check=True, capture_output=True, text=True)
    assert "3/3" in done.stdout
    assert left(broken) == left(whole)
    assert len(left(whole)) == 3 * len(LEFT) + 2  # the record has counts and histograms of its own
    assert not list(broken.rglob("*.tmp")), "a killed writer's temporary file stays behind"
