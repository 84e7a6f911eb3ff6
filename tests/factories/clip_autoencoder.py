"""A method of clips that pre-trains: mean colours, squeezed and restored, then classified."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

import aubench
from aubench import Fidelity, MethodCard, Stage, masked_bce


class ClipRecipe(aubench.Recipe):
    presets: ClassVar = {"tiny": {"epochs": 2}}
    finetune_only: ClassVar = frozenset({"smoothing"})

    clip: int = 8
    pretrain_epochs: int = Field(2, ge=0)
    everyone: bool = False
    smoothing: float = 0.0

    @property
    def clip_length(self):
        return self.clip


class ClipAutoencoder(aubench.Method):
    Recipe = ClipRecipe
    card = MethodCard(title="Clips", paper="none", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.squeeze = nn.Linear(task.channels, 2)
        self.restore = nn.Linear(2, task.channels)
        self.head = nn.Linear(2, len(task.aus))
        self.register_buffer("rates", torch.full((len(task.aus),), -1.0))

    def stages(self):
        recipe = self.recipe
        first = Stage(
            "pretrain",
            recipe.pretrain_epochs,
            16,
            frames_per_epoch=400,
            pretraining=True,
            include_all_subjects=recipe.everyone,
        )
        return (first,) * bool(recipe.pretrain_epochs) + tuple(super().stages())

    def optimizer(self, stage):
        rate = 0.01 if stage.pretraining else self.recipe.learning_rate
        return torch.optim.Adam(self.parameters(), lr=rate)

    def learning_rate_factor(self, stage, progress):
        return 1.0 if stage.pretraining else super().learning_rate_factor(stage, progress)

    def on_train_labels(self, labels):
        seen = torch.cat(list(labels))
        self.rates.copy_(((seen == 1).sum(0) / (seen >= 0).sum(0)).float())

    def colours(self, inputs):
        return torch.cat([inputs[m].mean((-1, -2)) for m in self.task.modalities], -1)

    def loss(self, batch, stage, progress):
        if not stage.pretraining:
            assert (self.rates >= 0).all()
            return {"total": masked_bce(self(batch.inputs), batch.labels)}
        assert (batch.labels == -1).all()
        colours = self.colours(batch.inputs)
        return {"total": (self.restore(self.squeeze(colours)) - colours).square().mean()}

    def forward(self, inputs):
        return self.head(self.squeeze(self.colours(inputs))).sigmoid()
