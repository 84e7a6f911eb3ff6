from __future__ import annotations

import pytest
import torch

from aubench.engine import devices
from aubench.errors import UsageError


def test_cpu_runs_as_many_folds_as_this_process_has_cores():
    import os

    choice = devices.choose("cpu")
    assert choice.kind == "cpu" and choice.count == len(os.sched_getaffinity(0)) and choice.name


def test_unknown_or_absent_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no device 'cudda'; did you mean 'cuda'"):
        devices.choose("cudda")
    with pytest.raises(UsageError, match="no cuda device on this machine"):
        devices.choose("cuda")


def test_gpu_is_taken_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Some GPU")
    assert devices.choose("auto") == devices.DeviceChoice("cuda", 8, "Some GPU")


@pytest.mark.parametrize(("precision", "inside"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_precision_is_what_the_layers_compute_in(precision, inside):
    fabric = devices.fabric_for("cpu", 0, precision)
    seen = []

    class Spy(torch.nn.Linear):
        def forward(self, x):
            found = super().forward(x)
            seen.append(found.dtype)
            return found

    fabric.setup_module(Spy(3, 2))(torch.zeros(1, 3))
    assert seen == [inside]
