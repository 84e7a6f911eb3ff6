"""The harness's training loop against a bare PyTorch loop: same model, optimiser, frames and precision, one thread."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import torch
from torch import Tensor

from aubench.core.registry import find_protocol
from aubench.core.task import Modality
from aubench.data.splits import FoldSplit, ProtocolDataset
from aubench.data.store import Store
from aubench.datasets.synth.synth_dataset import SynthSettings, generate
from aubench.runs.config import RunConfig, RunOptions, StoreRef
from aubench.runs.fold import train_fold
from aubench.training.state import EpochFinished

TARGET = 0.97
"""Least ratio of speeds: at most 3 % slower."""

FRAMES, ROUNDS = 320, 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Generate synth with one sequence a subject."""
    return generate(tmp_path_factory.mktemp("stores") / "synth", SynthSettings(sequences=1), lambda done, total: None)


def configure(store: Store, epochs: int, runs: Path) -> RunConfig:
    recipe = {
        "epochs": epochs,
        "frames_per_epoch": FRAMES,
        "learning_rate": 1e-3,
        "learning_rate_schedule": "constant",
    }
    options = RunOptions("tiny", recipe, selection="last", runs=runs)
    return RunConfig.create("late_fusion", find_protocol("synth_3fold"), StoreRef.from_store(store), options)


class BareLoop:
    """A loop written by hand, on images that are all in memory."""

    def __init__(self, config: RunConfig, data: ProtocolDataset, split: FoldSplit) -> None:
        recipe = config.recipe_model
        self.crop, self.margin, self.batch = recipe.crop, recipe.image_size - recipe.crop + 1, recipe.batch_size
        self.model = config.build_method().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=recipe.learning_rate)
        self.images = {m: torch.from_numpy(data.store.read(m, split.train)) for m in config.task.modalities}
        self.labels = torch.from_numpy(data.labels[split.train])

    def epoch(self) -> float:
        """Train for one epoch; returns the mean loss."""
        self.model.train()
        order = torch.from_numpy(np.random.default_rng().permutation(len(self.labels))[:FRAMES])
        total = 0.0
        for frames in order.split(self.batch):
            inputs, labels = self.views(frames), self.labels[frames]
            known = labels >= 0
            probs = self.model(inputs).clamp(1e-7, 1 - 1e-7)
            loss = -(torch.where(labels > 0, probs.log(), (1 - probs).log()) * known).sum() / known.sum()
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            total += loss.item()
        return total * self.batch / FRAMES

    def views(self, frames: Tensor) -> dict[Modality, Tensor]:
        """Take random crops, half of them mirrored, as floats from -1 to 1."""
        along = torch.arange(self.crop)
        top, left = torch.randint(0, self.margin, (2, len(frames)))
        across = torch.where(torch.rand(len(frames), 1) < 0.5, along.flip(0), along)
        index = (
            torch.arange(len(frames))[:, None, None],
            (top[:, None] + along)[:, :, None],
            (left[:, None] + across)[:, None],
        )
        return {m: x[frames][index].permute(0, 3, 1, 2).float() / 127.5 - 1 for m, x in self.images.items()}


class BareRounds:
    """One epoch of the bare loop after each epoch of the harness; the first of both is for warming up."""

    def __init__(self, loop: BareLoop) -> None:
        self.loop = loop
        self.seconds: list[float] = []
        self.harness_seconds: list[float] = []
        self.losses: dict[str, float] = {}

    def __call__(self, event: EpochFinished) -> None:
        """Receive the harness's report of an epoch, whose speed excludes validation and checkpoint."""
        self.harness_seconds.append(FRAMES / event.frames_per_s)
        begin = perf_counter()
        loss = self.loop.epoch()
        self.seconds.append(perf_counter() - begin)
        self.losses = {"bare": loss, "harness": event.loss["total"]}


def test_training(report, check_target, smoke: bool, store: Store, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config = configure(store, 2 if smoke else ROUNDS + 1, tmp_path)
    data, split = config.load_data(1)
    assert len(split.train) >= FRAMES and FRAMES % config.recipe_model.batch_size == 0
    rounds = BareRounds(BareLoop(config, data, split))
    train_fold(config, data, split, "cpu", 0, rounds)
    label = "training: speed of the harness over a bare loop"
    ratio = report(rounds.harness_seconds[1:], rounds.seconds, label)
    assert rounds.losses["harness"] == pytest.approx(rounds.losses["bare"], rel=0.25), "they do not train alike"
    check_target(ratio, at_least=TARGET)
