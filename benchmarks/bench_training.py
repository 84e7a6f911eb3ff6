"""The harness' training loop against a bare PyTorch loop: same model, optimiser, frames and precision, one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aubench.core.registry import find_method, find_protocol
from aubench.core.task import Modality
from aubench.data.splits import FoldSplit, ProtocolDataset
from aubench.datasets.synth.synth_dataset import SynthSettings, generate
from aubench.runs import devices
from aubench.runs.config import RunConfig, StoreRef, create_run_config
from aubench.training import trainer

TARGET = 0.97
"""At most 3 % slower."""

FRAMES, ROUNDS = 320, 60


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ProtocolDataset:
    """The store of synth with one sequence a subject."""
    store = tmp_path_factory.mktemp("stores") / "synth"
    return ProtocolDataset(
        generate(store, SynthSettings(sequences=1), lambda done, total: None), find_protocol("synth_3fold")
    )


def plan_for(data: ProtocolDataset, runs: Path) -> RunConfig:
    info = data.store.info
    return create_run_config(
        "late_fusion",
        find_method("late_fusion"),
        data.protocol,
        preset="tiny",
        changes={"frames_per_epoch": FRAMES, "learning_rate": 1e-3, "learning_rate_schedule": "constant"},
        seed=0,
        selection="last",
        precision="32-true",
        store=StoreRef(data.store.path, info.dataset, info.version, info.digest),
        runs=runs,
    )


class Harness(trainer.Trainer):
    """The harness' loop without what follows an epoch's last step: validation, checkpoint, report."""

    def start(self) -> None:
        """Make ready what all epochs share."""
        self.stage = self.stages[0]
        self.optimizer = self.fabric.setup_optimizers(self.method.optimizer(self.stage))

    def epoch(self) -> None:
        """Train for one epoch."""
        self._epoch(self.stage, self.optimizer)

    def _finish_epoch(self, stage: Any, optimizer: Any, losses: dict[str, float], seconds: float) -> None:
        self.loss = losses["total"]
        self.state.end_epoch({})


class Bare:
    """What one would write by hand, on images that are all in memory."""

    def __init__(self, plan: RunConfig, data: ProtocolDataset, roles: FoldSplit) -> None:
        recipe = plan.recipe_model
        self.crop, self.room, self.batch = recipe.crop, recipe.image_size - recipe.crop + 1, recipe.batch_size
        self.model = plan.build_method().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=recipe.learning_rate)
        self.images = {m: torch.from_numpy(data.store.read(m, roles.train)) for m in plan.task.modalities}
        self.labels = torch.from_numpy(data.labels[roles.train])

    def epoch(self) -> None:
        """Train for one epoch."""
        self.model.train()
        order = torch.from_numpy(np.random.default_rng().permutation(len(self.labels))[:FRAMES])
        total = 0.0
        for frames in order.split(self.batch):
            inputs, labels = self.views(frames), self.labels[frames]
            known = labels >= 0
            chance = self.model(inputs).clamp(1e-7, 1 - 1e-7)
            loss = -(torch.where(labels > 0, chance.log(), (1 - chance).log()) * known).sum() / known.sum()
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            total += loss.item()
        self.loss = total * self.batch / FRAMES

    def views(self, frames: Tensor) -> dict[Modality, Tensor]:
        """Random crops, half of them mirrored, as floats from -1 to 1."""
        along = torch.arange(self.crop)
        top, left = torch.randint(0, self.room, (2, len(frames)))
        across = torch.where(torch.rand(len(frames), 1) < 0.5, along.flip(0), along)
        place = (
            torch.arange(len(frames))[:, None, None],
            (top[:, None] + along)[:, :, None],
            (left[:, None] + across)[:, None],
        )
        return {m: x[frames][place].permute(0, 3, 1, 2).float() / 127.5 - 1 for m, x in self.images.items()}


def test_training(compare, data: ProtocolDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "SAVE_EVERY", float("inf"))
    torch.set_num_threads(1)
    plan, roles = plan_for(data, tmp_path), data.split(1, validation=False)
    assert len(roles.train) >= FRAMES and FRAMES % plan.recipe_model.batch_size == 0
    harness = Harness(plan, 1, data, roles, devices.fabric_for("cpu", 0, plan.precision), lambda event: None)
    harness.start()
    bare = Bare(plan, data, roles)
    ratio = compare(harness.epoch, bare.epoch, rounds=ROUNDS, told="training: speed of the harness over a bare loop")
    assert harness.loss == pytest.approx(bare.loss, rel=0.25), "they do not train alike"
    assert ratio >= TARGET
