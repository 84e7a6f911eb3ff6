"""Runs that a user or a scheduler ends by a signal: the state is saved at once, and the exit code is 130."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORDS = ["run", "--no-track", "--method", "resnet_depth", "--protocol", "synth_3fold", "--device", "cpu", "--fold", "1"]
CHANGES = ["image_size=32", "crop=28", "frames_per_epoch=600", "batch_size=8", "epochs=9", "validation_stride=50"]


def training_state(path: Path) -> dict[str, object]:
    """Read the training state in the header of a checkpoint."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    (header,) = json.loads(content[8 : 8 + length])["__metadata__"].values()
    return json.loads(header)["notes"]["history"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_middle_of_an_epoch(small_store, tmp_path, number):
    words = [*WORDS, "--store", str(small_store), *(word for change in CHANGES for word in ("--set", change))]
    command = [sys.executable, "-m", "aubench.cli", *words]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        next(line for line in process.stderr if "epoch 1 of 9" in line)
        time.sleep(0.2)
        begin = time.monotonic()
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(20) == 130
        assert time.monotonic() - begin < 10
    assert "Traceback" not in rest
    (path,) = (tmp_path / "runs").rglob("state.safetensors")
    state = training_state(path)
    assert state["epoch"] >= 1 and state["step"] > 0, "not only the end of the epoch"
    assert not (tmp_path / "runs" / "sweeps").exists()
