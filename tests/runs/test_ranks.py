"""Folds that several devices train together: counts of one device, resuming, refusals, and the death of a process."""

from __future__ import annotations

import json
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from factories import rank_works
from safetensors.torch import load_file

from aubench._util import interrupts, ranks
from aubench.core.errors import AubenchError, UsageError
from aubench.engines import cluster_worker
from aubench.engines.choice import choose_engine
from aubench.engines.ray_engine import RayChoice
from aubench.engines.slurm_options import submission_parameters
from aubench.evaluation import inference
from aubench.evaluation.predictor import Predictor
from aubench.results import record as record_file
from aubench.results.run_folder import PREDICTIONS, RECORD_DIR, RESULT, RUNNING, STATE
from aubench.runs import devices, runner
from aubench.runs.devices import DeviceChoice
from aubench.runs.events import EpochFinished, FoldFinished
from aubench.runs.fold import run_fold
from aubench.runs.fold_process import preload_workers
from aubench.runs.scheduler import Job, run_jobs

PAIR = DeviceChoice("cpu", 2, "a test", 1, 2)
TINY = {
    **{"image_size": 28, "crop": 28, "width": 16, "depth": 2, "decoder_width": 16, "decoder_depth": 1},
    **{"pretrain_epochs": 1, "pretrain_checkpoint": 1, "pretrain_frames_per_epoch": 64, "pretrain_batch_size": 32},
    **{"epochs": 2, "frames_per_epoch": 30, "batch_size": 15, "validation_stride": 8, "drop_path": 0.3},
}


@pytest.fixture(autouse=True)
def _preloaded():
    preload_workers()


@pytest.mark.slow
def test_two_devices_give_the_counts_of_one(decide, tmp_path):
    """Two steps an epoch, of 15 frames: 8 and 7. Sums in another order change the last digits of weights."""
    one, two = decide(tmp_path / "one", "mcm", **TINY), decide(tmp_path / "two", "mcm", **TINY)
    assert one.run_id == two.run_id
    run_fold(one, 1, "cpu", 0, lambda event: None)
    seen: list[object] = []
    runner.run_folds([two], [1], PAIR, lambda job, event: seen.append(type(event)))
    assert seen == [EpochFinished] * 3 + [FoldFinished], "one process reports"
    for name in ("counts.csv", "histograms.csv"):
        assert (two.fold_dir(1) / name).read_bytes() == (one.fold_dir(1) / name).read_bytes()
    weights = [load_file(config.fold_dir(1) / "checkpoint.safetensors") for config in (one, two)]
    for name in weights[0]:
        pair = [values[name] for values in weights]
        if name.endswith("qkv.bias"):  # keys' biases have no gradient but rounding, which Adam scales up
            pair = [values.view(3, -1)[::2] for values in pair]
        torch.testing.assert_close(*pair, rtol=1e-3, atol=1e-5)
    assert (two.fold_dir(1) / PREDICTIONS).exists()
    assert not any((two.fold_dir(1) / name).exists() for name in (STATE, RUNNING, ".lock"))
    record, alone = record_file.read(two.run_dir / RECORD_DIR), json.loads((one.fold_dir(1) / RESULT).read_text())
    assert record.info.device.count == 2 and "count" not in alone["made"]["device"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["late_fusion", "amf"])
def test_batch_normalisation_on_two_devices_is_that_of_one_up_to_rounding(decide, tmp_path, method):
    """Rounding changes the signs of tiny gradients, and with them whole steps of Adam."""
    changes = {"image_size": 28, "crop": 28, "epochs": 2, "frames_per_epoch": 30, "batch_size": 15}
    one, two = (decide(tmp_path / name, method, **changes, validation_stride=8) for name in ("one", "two"))
    run_fold(one, 1, "cpu", 0, lambda event: None)
    runner.run_folds([two], [1], PAIR, lambda job, event: None)
    first, second = (pd.read_parquet(config.fold_dir(1) / PREDICTIONS) for config in (one, two))
    columns = [column for column in first if column.startswith("p_")]
    assert np.abs(first[columns].to_numpy() - second[columns].to_numpy()).max() < 0.01
    weights = [load_file(config.fold_dir(1) / "checkpoint.safetensors") for config in (one, two)]
    for name in (name for name in weights[0] if "running" in name):
        torch.testing.assert_close(*[values[name] for values in weights], rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_a_fold_resumes_on_another_number_of_devices(decide, tmp_path):
    config, expected = (decide(tmp_path / name, "mcm", **TINY) for name in ("resumed", "alone"))
    run_fold(expected, 1, "cpu", 0, lambda event: None)

    class Stopped(BaseException):
        pass

    def stop(event):
        if isinstance(event, EpochFinished) and event.stage == "train":
            raise Stopped

    with pytest.raises(Stopped):
        run_fold(config, 1, "cpu", 0, stop)
    run_jobs([Job(config, 1, run_fold)], PAIR, lambda job, event: None)
    assert (config.fold_dir(1) / "counts.csv").read_bytes() == (expected.fold_dir(1) / "counts.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (rank_works.loses_a_process, "fold 1 of mcm, device 2, was ended by signal 9 (SIGKILL), probably because"),
        (rank_works.diverges_on_one_device, "mcm: loss term 'total' is not finite"),
    ],
)
def test_a_process_that_dies_ends_the_fold_with_one_line(decide, tmp_path, target, message):
    config = decide(tmp_path, "mcm", **TINY)
    jobs = [Job(config, 1, target), Job(decide(tmp_path, "mcm", seed=6, **TINY), 1, rank_works.reports_its_devices)]
    seen = []
    with pytest.raises(AubenchError) as raised:
        run_jobs(jobs, PAIR, lambda job, event: seen.append(event))
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert FoldFinished(None, 2) in seen, "the next job has both devices"


def test_the_other_processes_of_a_group_ignore_all_signals(tmp_path, monkeypatch):
    for name in ("FileStore", "init_process_group", "new_group", "destroy_process_group"):
        monkeypatch.setattr(torch.distributed, name, lambda *args, **options: None)
    before = [signal.signal(number, signal.SIG_DFL) for number in interrupts.SIGNALS]
    try:
        with ranks.joined(ranks.Member(1, 2, tmp_path / "meeting"), "cpu", 0):
            assert {signal.getsignal(number) for number in interrupts.SIGNALS} == {signal.SIG_IGN}
    finally:
        for number, handler in zip(interrupts.SIGNALS, before, strict=True):
            signal.signal(number, handler)


@pytest.mark.slow
def test_process_0_of_a_job_that_ends_saves_its_state_with_the_help_of_the_others(decide, tmp_path):
    config, engine = decide(tmp_path, "mcm", **TINY), PAIR.engine()
    saved = config.fold_dir(1) / "saved"
    future = engine.submit(Job(config, 1, rank_works.saves_when_it_ends))
    while not saved.with_name("started").exists():
        list(engine.wait(0.1))
    engine.cancel(future)
    while not future.done():
        list(engine.wait(0.1))
    assert saved.exists() and "signal 15 (SIGTERM)" in str(future.exception())
    assert not engine._running and list(engine._free) == [0]


@pytest.mark.slow
def test_a_node_of_a_cluster_trains_a_fold_on_several_devices(decide, tmp_path, monkeypatch):
    monkeypatch.setattr(devices.system, "available_cores", lambda: 2)
    config = decide(tmp_path, "mcm", **TINY)
    config.run_dir.mkdir(parents=True)
    outcome = cluster_worker.work(Job(config, 1, rank_works.reports_its_devices), PAIR, str(tmp_path))
    assert outcome == FoldFinished(None, 2)


def test_folds_take_whole_groups_of_devices(monkeypatch):
    monkeypatch.setattr(devices.system, "available_cores", lambda: 4)
    assert devices.choose("cpu", per_fold=2) == DeviceChoice("cpu", 4, devices.device_name("cpu", 0), 1, 2)
    assert list(DeviceChoice("cuda", 5, "a GPU", 1, 2).engine()._free) == [0, 1]
    with pytest.raises(UsageError, match="--devices: cannot be 5; this machine has 4 of kind cpu"):
        choose_engine(device="cpu", per_fold=5)
    with pytest.raises(UsageError, match="--devices: cannot be 0"):
        choose_engine(device="cpu", per_fold=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a GPU")
    with pytest.raises(UsageError, match="--runs-per-device: is for folds that share a GPU"):
        choose_engine(device="cuda", runs_per_device=2, per_fold=2)
    with pytest.raises(UsageError, match="--gpus-per-fold: excludes --devices"):
        choose_engine("ray", gpus_per_fold=0.5, per_fold=2)


def test_jobs_of_slurm_ask_for_all_devices_of_a_fold():
    parameters = submission_parameters({}, "cuda", {"cpus_per_task"}, 4)
    assert (parameters["cpus_per_task"], parameters["additional_parameters"]["gpus"]) == (4, 4)
    given = submission_parameters({"cpus_per_task": "9", "gres": "gpu:4"}, "cuda", {"cpus_per_task"}, 4)
    assert given["cpus_per_task"] == 9 and "gpus" not in given["additional_parameters"]
    assert RayChoice("cuda", 1, "ray", 1, 4).on_node() == DeviceChoice("cuda", 4, "ray", 1, 4)


TRACKING = """
from torch import nn

from aubench.methods.late_fusion import LateFusion


class Tracking(LateFusion):
    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.norm = nn.InstanceNorm2d(1, track_running_stats=True)
"""


@pytest.fixture
def tracking(tmp_path):
    """A method whose statistics of samples would differ between processes."""
    path = tmp_path / "tracking.py"
    path.write_text(TRACKING)
    return str(path)


@pytest.mark.slow
def test_the_command_refuses_in_one_line(call, small_store, monkeypatch, tracking):
    monkeypatch.setattr(devices.system, "available_cores", lambda: 2)
    words = ["run", "--method", tracking, "--protocol", "synth_3fold", "--store", small_store, "--device", "cpu"]
    words += ["--preset", "tiny", "--no-track", "--devices"]
    refused = call(*words, 2)
    assert refused.code == 2 and refused.err.count("tracking: trains on one device, because 'norm' has running") == 1
    assert "--devices: cannot be 3; this machine has 2 of kind cpu" in call(*words, 3).err
    assert "Traceback" not in refused.err


@pytest.mark.slow
def test_a_method_that_cannot_be_split_is_refused_before_its_folder_exists(decide, tmp_path, tracking):
    config = decide(tmp_path / "runs", tracking, image_size=32, crop=28)
    with pytest.raises(UsageError, match="tracking: trains on one device, because 'norm'"):
        runner.run_folds([config], [1], PAIR, lambda job, event: None)
    assert not config.run_dir.exists()


def test_one_process_is_a_group_of_its_own(tmp_path):
    with ranks.exclusive(tmp_path / "lock"):
        ranks.meet()
    assert (ranks.rank(), ranks.count(), ranks.is_first()) == (0, 1, True)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mcm", "au_vmae"])
def test_each_frame_is_predicted_by_one_process_in_the_batches_of_one(decide, tmp_path, monkeypatch, method):
    clips = {"clip_frames": 8, "segment": 4, "image_size": 32, "crop": 32, "width": 16, "depth": 1, "decoder_width": 16}
    config = decide(tmp_path, method, **(clips if method == "au_vmae" else TINY))
    data, split = config.load_data(1)
    predictor, rows = Predictor(config.build_initial_method(1)), split.test[:150]
    expected = inference.predict_probabilities(predictor, data, rows, torch.device("cpu"))
    monkeypatch.setattr(ranks, "count", lambda: 2)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        parts.append(inference.predict_probabilities(predictor, data, rows, torch.device("cpu")))
    assert ((parts[0] > 0) != (parts[1] > 0)).all() and (parts[0] + parts[1] == expected).all()
