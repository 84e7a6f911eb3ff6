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


@pytest.fixture
def cards(monkeypatch):
    """Pretend that there are two cards; returns the setter of their compute capability."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Some GPU")
    return lambda *pairs: monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: pairs[index])


@pytest.mark.usefixtures("cards")
def test_a_card_may_run_several_folds_and_a_cpu_core_one(monkeypatch):
    assert devices.choose("cuda", 3) == devices.DeviceChoice("cuda", 2, "Some GPU", 3)
    for kind, count, message in (("cpu", 2, "--runs-per-device: needs a GPU"), ("cuda", 0, "cannot be 0")):
        with pytest.raises(UsageError, match=message):
            devices.choose(kind, count)


def test_each_of_several_folds_has_its_part_of_the_memory(monkeypatch):
    limits = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *limit: limits.append(limit))
    for choice in (devices.DeviceChoice("cuda", 2, "a GPU"), devices.DeviceChoice("cpu", 2, "a CPU", 3)):
        devices.limit_memory(choice, 1)
    assert limits == []
    devices.limit_memory(devices.DeviceChoice("cuda", 2, "a GPU", 3), 1)
    assert limits == [(pytest.approx(0.3), 1)]


def test_tf32_needs_cards_that_have_it(cards):
    cards((8, 0), (9, 0))
    choice = devices.choose("cuda")
    choice.require("tf32")
    cards((8, 0), (7, 5))
    choice.require("bf16-mixed")
    with pytest.raises(UsageError, match="--precision: 'tf32' needs a GPU of Ampere or newer"):
        choice.require("tf32")
    for kind in ("cpu", "mps"):
        with pytest.raises(UsageError, match=f"'tf32' needs an NVIDIA GPU, not {kind}; use --precision 32-true"):
            devices.DeviceChoice(kind, 1, "a test").require("tf32")


def test_runs_in_tf32_and_in_full_float32_are_different_runs(decide, tmp_path):
    full = decide(tmp_path, "late_fusion")
    assert full.run_id != replace(full, precision="tf32").run_id
    assert [devices.fp32_precision(name) for name in devices.PRECISIONS] == ["ieee", "tf32", "ieee"]


@pytest.mark.parametrize(
    ("cpu", "pytorch", "limit", "expected"),
    [
        ("AVX512", "AVX512", "", "AVX512"),
        ("AVX512", "AVX512", "all", "AVX512"),
        ("AVX512", "AVX512", "AVX512_CORE_VNNI", "AVX512"),
        ("AVX512", "AVX512", "no set", "AVX512"),
        ("AVX512", "AVX2", "avx2", "AVX2"),
        ("AVX512", "AVX2", "AVX2_VNNI", "AVX2"),
        ("AVX512", "AVX2", "", "AVX2, oneDNN AVX512"),
        ("AVX512", "AVX512", "AVX2", "AVX512, oneDNN AVX2"),
        ("AVX512", "AVX512", "AVX", "AVX512, oneDNN AVX"),
        ("AVX2", "AVX2", "", "AVX2"),
        ("AVX2", "AVX2", "AVX512_CORE", "AVX2"),
        ("AVX2", "DEFAULT", "SSE41", "DEFAULT, oneDNN SSE41"),
        ("other", "SVE256", "", "SVE256"),
    ],
)
def test_the_instruction_set_is_that_of_the_cpu_or_its_limits(monkeypatch, cpu, pytorch, limit, expected):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: pytorch)
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: cpu != "other")
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: cpu == "AVX512")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert devices.cpu_instructions() == expected


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
    devices.set_fp32_precision("ieee")
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.mkldnn.conv.fp32_precision = "bf16"
    yield
    devices.set_fp32_precision("ieee")


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


@pytest.mark.usefixtures("reduced_precision")
def test_tf32_is_for_products_and_convolutions_on_gpus_alone():
    backends = torch.backends
    for precision, on_gpu in (("tf32", "tf32"), ("32-true", "ieee")):
        assert devices.fabric_for("cpu", 0, precision)._precision.precision == "32-true"
        parts = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
        assert [part.fp32_precision for part in parts] == [on_gpu] * 3
        assert [part.fp32_precision for part in (backends.mkldnn.matmul, backends.mkldnn.conv)] == ["ieee"] * 2
        assert backends.cuda.matmul.allow_tf32 == backends.cudnn.allow_tf32 == (on_gpu == "tf32")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_tf32_rounds_products_and_full_float32_does_not():
    errors = {}
    for precision in ("32-true", "tf32"):
        fabric = devices.fabric_for("cuda", 0, precision)
        x = torch.rand(512, 512, generator=torch.Generator().manual_seed(0))
        product = (x.to(fabric.device) @ x.to(fabric.device)).cpu().double()
        errors[precision] = float((product - x.double() @ x.double()).abs().max())
    devices.set_fp32_precision("ieee")
    assert errors["tf32"] > 10 * errors["32-true"]
