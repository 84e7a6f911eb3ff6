"""Losses that are no longer finite, and memory that runs out: the message names the step, or a batch size that fits."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from factories.processes import in_processes

from aubench.core.errors import Diverged, OutOfMemory
from aubench.core.method import Stage
from aubench.core.recipe import Recipe
from aubench.results.run_folder import STATE, WEIGHTS
from aubench.runs.config import RunConfig
from aubench.runs.fold import run_fold
from aubench.training import batch_memory
from aubench.training import trainer as training_module
from aubench.training.checkpoint import read

METHOD = """
import torch
from torch import nn

from aubench import Fidelity, Method, MethodCard

BAD = {bad}
LIMIT = {limit}


class Frail(Method):
    card = MethodCard(title="Frail", paper="none", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.line = nn.Linear(1, len(task.aus))

    def forward(self, inputs):
        return self.line(inputs[self.task.modalities[0]].mean((1, 2, 3))[:, None]).sigmoid()

    def loss(self, batch, stage, progress):
        if len(batch.labels) > LIMIT:
            {failure}
        terms = super().loss(batch, stage, progress)
        extra = terms["total"] * (float("nan") if (progress.epoch + 1, progress.step + 1) == BAD else 1)
        return terms | {{"extra": extra, "total": terms["total"] + extra}}
"""
CHANGES = {
    "image_size": 32,
    "crop": 28,
    "frames_per_epoch": 120,
    "batch_size": 20,
    "epochs": 3,
    "validation_stride": 20,
}


@pytest.fixture
def frail(decide, tmp_path) -> Callable[..., RunConfig]:
    """A run of a method that fails on purpose: ``bad`` epoch and step, or a ``limit`` of the batch size."""

    def made(bad: object = None, limit: int = 1000, failure: str = "raise MemoryError", **changes: object) -> RunConfig:
        path = tmp_path / "frail.py"
        path.write_text(METHOD.format(bad=bad, limit=limit, failure=failure))
        return decide(tmp_path / "runs", str(path), **CHANGES | changes)

    return made


def train(config: RunConfig) -> None:
    run_fold(config, 1, "cpu", 0, lambda event: None)


def is_finite(path: Path, config: RunConfig) -> bool:
    tensors = read(path, config.identity(1)).tensors
    return bool(tensors) and all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_loss_that_is_not_finite_names_the_step_and_the_last_good_checkpoint(frail):
    config = frail(bad=(2, 4))
    with pytest.raises(Diverged) as raised:
        train(config)
    folder = config.fold_dir(1)
    assert str(raised.value) == (
        "frail: loss term 'total' is not finite in epoch 2 of fold 1, step 4 of stage 'train'; lower the learning rate "
        f"(--set); the last good checkpoint is {folder / WEIGHTS}"
    )
    assert raised.value.exit_code == 2
    assert is_finite(folder / WEIGHTS, config) and is_finite(folder / STATE, config)
    assert read(folder / STATE, config.identity(1)).notes["history"]["epoch"] == 1
    assert sorted(path.name for path in folder.iterdir()) == sorted([WEIGHTS, STATE, "epochs.jsonl"])


@pytest.mark.slow
def test_state_in_the_middle_of_an_epoch_is_never_one_of_a_diverged_training(frail, monkeypatch):
    monkeypatch.setattr(training_module, "SAVE_EVERY", -1.0)  # after every step
    config = frail(bad=(1, 3))
    with pytest.raises(Diverged, match=r"in epoch 1 of fold 1, step 3 of .*; the last good checkpoint is .*state"):
        train(config)
    state = read(config.fold_dir(1) / STATE, config.identity(1))
    assert state.notes["history"]["step"] == 2 and is_finite(config.fold_dir(1) / STATE, config)
    with pytest.raises(Diverged, match="step 3 of"):
        train(config)


def test_weights_that_are_not_finite_after_the_last_step_are_not_saved(frail, monkeypatch):
    config = frail(frames_per_epoch=20)

    def spoil(self, *arguments):
        with torch.no_grad():
            self.method.line.weight.fill_(float("inf"))
        return original(self, *arguments)

    original = training_module.Trainer._finish_epoch
    monkeypatch.setattr(training_module.Trainer, "_finish_epoch", spoil)
    with pytest.raises(Diverged, match=r"a weight is not finite in epoch 1 of fold 1, step 1 .*no earlier epoch has a"):
        train(config)
    assert not list(config.fold_dir(1).glob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        "MemoryError",
        "torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')",
        'RuntimeError("DefaultCPUAllocator: can\'t allocate memory: you tried to allocate 8 bytes.")',
    ],
    ids=["Python", "CUDA", "CPU"],
)
def test_memory_that_runs_out_names_a_batch_size_that_was_tried(frail, error):
    config = frail(limit=6, failure=f"raise {error}")
    with pytest.raises(OutOfMemory) as raised:
        train(config)
    message = str(raised.value)
    assert "fold 1: a batch of 20 in stage 'train' needs more memory than this process may use; " in message
    assert "; --set batch_size=5 fits, as a trial step showed, and is another recipe with another run id; " in message
    assert raised.value.exit_code == 2
    assert not list(config.fold_dir(1).glob("*.safetensors")), "the trial steps are not saved"


@pytest.mark.slow
def test_named_batch_size_trains(frail):
    train(frail(limit=6, batch_size=5, epochs=1))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
def test_real_limit_of_memory_names_a_batch_size_within_it(frail):
    """A batch of 20 needs 1,280 MiB, of 10 640 MiB, of 5 320 MiB, and the process may have 480 MiB more."""
    config = frail(limit=0, failure="torch.ones(len(batch.labels), 2**24)")

    def work(index: int) -> str:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 480 * 2**20, resource.RLIM_INFINITY))
        try:
            train(config)
        except OutOfMemory as error:
            return str(error)
        return ""

    (message,) = in_processes(1, work)
    assert "a batch of 20 in stage 'train' needs more memory than this process may use; " in message
    assert "--set batch_size=5 fits, as a trial step showed" in message


@pytest.mark.slow
def test_memory_for_no_batch_at_all_is_said(frail):
    with pytest.raises(OutOfMemory, match="; no smaller batch fits either; fewer folds at a time"):
        train(frail(limit=0))


def test_error_that_is_not_of_memory_stays_itself(frail):
    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        train(frail(limit=6, failure="raise RuntimeError('shapes differ')"))


def test_field_of_the_batch_size_is_that_of_the_stage():
    class Two(Recipe):
        pretrain_batch_size: int = 50
        gradient_accumulation: int = 1

    def hint(**settings: object) -> str:
        stage = Stage("x", 1, **{"batch_size": 50, **settings})
        return str(batch_memory.out_of_memory(stage, Two(), 25, where="amf, fold 1", device="cuda"))

    assert "--set pretrain_batch_size=25 fits" in hint(pretraining=True)
    assert "--set batch_size=25 fits" in hint() and "than the GPU has" in hint()
    assert "--runs-per-device" in hint() and "; gradient_accumulation (--set) keep the loss of" in hint()
    assert "; a batch of 25 fits" in hint(batch_size=51), "no field has this value"
