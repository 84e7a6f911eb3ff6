from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from aubench.core.conditions import Condition
from aubench.core.errors import UsageError
from aubench.runs import condition_evaluation, devices
from aubench.runs.fold import run_fold


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


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_precision_is_what_training_testing_and_conditions_compute_in(decide, tmp_path, precision, dtype):
    small = {"image_size": 32, "crop": 28, "frames_per_epoch": 64, "epochs": 1, "validation_stride": 8}
    config = replace(decide(tmp_path, "late_fusion", **small), precision=precision)
    seen = set()

    def look(module, inputs, output):
        if isinstance(module, torch.nn.Linear) and not output.is_meta:  # operations are counted on the meta device
            seen.add((torch.is_grad_enabled(), output.dtype))

    handle = torch.nn.modules.module.register_module_forward_hook(look)
    try:
        run_fold(config, 1, "cpu", 0, lambda event: None)
        assert seen == {(True, dtype), (False, dtype)}
        seen.clear()
        condition_evaluation.evaluate_fold(
            config, 1, "cpu", 0, lambda event: None, conditions=[Condition.parse("noise:depth:0.5")]
        )
        assert seen == {(False, dtype)}
    finally:
        handle.remove()


def test_another_task_of_the_same_slurm_job_does_not_matter(monkeypatch):
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "3"}.items():
        monkeypatch.setenv(name, value)
    fabric = devices.fabric_for("cpu", 0, "32-true")
    assert (fabric.world_size, fabric.global_rank) == (1, 0)


@pytest.fixture
def reduced_precision():
    """Settings of a notebook that computes float32 products in TF32 and bfloat16, by PyTorch's older and newer ways."""
    devices.use_full_float32()
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.mkldnn.conv.fp32_precision = "bf16"
    yield
    devices.use_full_float32()


@pytest.mark.usefixtures("reduced_precision")
def test_32_true_means_full_float32_of_products_and_convolutions():
    devices.fabric_for("cpu", 0, "32-true")
    backends = torch.backends
    parts = (
        backends.cuda.matmul,
        backends.cudnn.conv,
        backends.cudnn.rnn,
        backends.mkldnn.matmul,
        backends.mkldnn.conv,
    )
    assert [part.fp32_precision for part in parts] == ["ieee"] * 5
    assert torch.get_float32_matmul_precision() == "highest"
    assert not backends.cuda.matmul.allow_tf32 and not backends.cudnn.allow_tf32
