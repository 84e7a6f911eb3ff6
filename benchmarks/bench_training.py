"""The harness's training loop against a bare PyTorch loop and Lightning's Trainer: same model, frames and precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import torch

from aubench.core.registry import find_protocol
from aubench.core.task import Batch
from aubench.data.splits import FoldSplit, ProtocolDataset
from aubench.data.store import Store
from aubench.datasets.synth.synth_dataset import SYNTH, SynthOptions
from aubench.runs import devices
from aubench.runs.bare_loop import BareLoop
from aubench.runs.config import RunConfig
from aubench.runs.fold import prepare_context, train_fold
from aubench.runs.measured_trainer import Extent, MeasuredTrainer
from aubench.runs.profiling import stage_phase
from aubench.runs.run_options import RunOptions
from aubench.runs.store_ref import StoreRef
from aubench.training.state import EpochFinished

PRESET = "small"
TARGETS = {"bare": 1 / 1.02, "lightning": 1.0}
"""Least speed of the harness: at most 2 % more time than a bare loop, and not slower than Lightning."""
LINEAR = 0.05
"""Largest deviation of the time per frame from that of one part of the frames."""

FRAMES, ROUNDS = 320, 60
ONCE, FACTORS, FACTOR_ROUNDS = 2000, (2, 4, 8), 3
"""Frames of an epoch of the preset ``tiny``, their multiples, and rounds."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Generate synth with one sequence a subject."""
    path = tmp_path_factory.mktemp("stores") / "synth"
    SYNTH.prepare(None, path, SynthOptions(sequences=1), lambda done, total: None)
    return Store(path)


def configure(store: Store, epochs: int, runs: Path) -> RunConfig:
    recipe = {
        "epochs": epochs,
        "frames_per_epoch": FRAMES,
        "learning_rate": 1e-3,
        "learning_rate_schedule": "constant",
    }
    options = RunOptions(PRESET, recipe, selection="last", runs=runs)
    return RunConfig.create("late_fusion", find_protocol("synth_3fold"), StoreRef.from_store(store), options)


def bare_loop(config: RunConfig, data: ProtocolDataset, split: FoldSplit) -> BareLoop:
    """Build a bare loop with a model of its own."""
    fabric = devices.fabric_for("cpu", 0, config.precision)
    context = prepare_context(config, split.fold, data, fabric, lambda event: None)
    return BareLoop(context, context.method.stages()[0], split.train)


@dataclass
class OtherRounds:
    """One epoch of another loop after each epoch of the harness; the first of both is for warming up.

    Attributes:
        epoch: Function that trains for an epoch and returns seconds and mean loss.
        seconds: Seconds of the other loop.
        harness_seconds: Seconds of the harness.
        losses: Mean loss of both in the last epoch.
    """

    epoch: Callable[[], tuple[float, float]]
    seconds: list[float] = field(default_factory=list)
    harness_seconds: list[float] = field(default_factory=list)
    losses: tuple[float, float] = (0.0, 0.0)

    def __call__(self, event: object) -> None:
        """Receive a report of the harness. The speed of an epoch excludes validation and checkpoint."""
        if not isinstance(event, EpochFinished):
            return
        self.harness_seconds.append(FRAMES / event.frames_per_s)
        seconds, loss = self.epoch()
        self.seconds.append(seconds)
        self.losses = (event.loss["total"], loss)


def bare_epoch(loop: BareLoop, steps: int) -> tuple[float, float]:
    begin = perf_counter()
    loss = loop.train(steps)
    return perf_counter() - begin, loss


def lightning_epoch(loop: BareLoop, steps: int) -> tuple[float, float]:
    """Train for an epoch with Lightning's Trainer, on the images, model and optimiser of a bare loop."""
    import logging
    import warnings

    import lightning.pytorch as lightning
    from torch.utils.data import DataLoader

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    times: list[float] = []
    losses: list[torch.Tensor] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.method = loop.method

        def training_step(self, frames: torch.Tensor, index: int) -> torch.Tensor:
            loss = loop.loss(Batch(loop.views(frames), loop.labels[frames]))
            losses.append(loss.detach())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return loop.optimizer

    class Clock(lightning.Callback):
        def on_train_epoch_start(self, *args: Any) -> None:
            times.append(perf_counter())

        def on_train_epoch_end(self, *args: Any) -> None:
            times.append(perf_counter())

    loader = DataLoader(range(len(loop.labels)), loop.batch, shuffle=True, drop_last=True)
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator="cpu", devices=1, max_epochs=1, limit_train_batches=steps, callbacks=[Clock()], **off
        )
        trainer.fit(Module(), loader)
    begin, end = times
    return end - begin, torch.stack(losses).mean().item()


@pytest.mark.parametrize("other", TARGETS)
def test_training(report, check_target, smoke: bool, store: Store, tmp_path: Path, other: str) -> None:
    if other == "lightning":
        pytest.importorskip("lightning.pytorch", reason="lightning is not installed; pip install 'aubench[bench]'")
    torch.set_num_threads(1)
    config = configure(store, 2 if smoke else ROUNDS + 1, tmp_path)
    data, split = config.load_data(1)
    assert len(split.train) >= FRAMES and FRAMES % config.recipe_model.batch_size == 0
    loop, steps = bare_loop(config, data, split), FRAMES // config.recipe_model.batch_size
    epoch = lightning_epoch if other == "lightning" else bare_epoch
    rounds = OtherRounds(lambda: epoch(loop, steps))
    train_fold(config, data, split, "cpu", 0, rounds)
    label = f"training: speed of the harness over {'Lightning' if other == 'lightning' else 'a bare loop'}"
    ratio = report(rounds.harness_seconds[1:], rounds.seconds, label)
    assert rounds.losses[0] == pytest.approx(rounds.losses[1], rel=0.25), "they do not train alike"
    check_target(ratio, at_least=TARGETS[other])


def test_linear(report, check_target, smoke: bool, store: Store, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config = configure(store, 1, tmp_path)
    data, split = config.load_data(1)
    fabric = devices.fabric_for("cpu", 0, config.precision)
    context = prepare_context(config, 1, data, fabric, lambda event: None)
    phase = stage_phase(config, split, context.method.stages()[0])
    steps, repeats = (1, 1) if smoke else (ONCE // config.recipe_model.batch_size, FACTOR_ROUNDS)

    def seconds_per_frame(factor: int) -> float:
        trainer = MeasuredTrainer(Extent(warmup=1, steps=factor * steps), context, phase)
        trainer.run()
        return 1 / trainer.frames_per_s

    ours: dict[int, list[float]] = {factor: [] for factor in FACTORS}
    once = [seconds_per_frame(1)]
    for _ in range(repeats):
        for factor in FACTORS:
            ours[factor].append(seconds_per_frame(factor))
        once.append(seconds_per_frame(1))
    for factor in FACTORS:
        ratio = report(ours[factor], once, f"training: time per frame of {ONCE:,} frames over {factor} times as many")
        check_target(ratio, at_least=1 - LINEAR, at_most=1 + LINEAR)
