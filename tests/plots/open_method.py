"""Method with all hooks for figures and an augmentation that blackens a region."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

import aubench
from aubench import Fidelity, MethodCard, Reconstruction, Stage


class OpenRecipe(aubench.Recipe):
    presets: ClassVar = {"tiny": {"epochs": 1}}

    pretrain_epochs: int = Field(1, ge=0)


class Open(aubench.Method):
    Recipe = OpenRecipe
    card = MethodCard(title="Open", paper="none", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.level = nn.Parameter(torch.zeros(()))
        self.head = nn.Linear(task.channels, len(task.aus))

    def stages(self):
        first = Stage("pretrain", self.recipe.pretrain_epochs, 50, frames_per_epoch=200, pretraining=True)
        return (first,) * bool(self.recipe.pretrain_epochs) + tuple(super().stages())

    def optimizer(self, stage):
        return torch.optim.Adam(self.parameters(), lr=0.05)

    def augment(self, batch, generator):
        inputs = {m: x.clone() for m, x in batch.inputs.items()}
        inputs[self.task.modalities[0]][::2, :, 2:6, 3:10] = -1
        return replace(batch, inputs=inputs)

    def loss(self, batch, stage, progress):
        if stage.pretraining:
            return {"total": sum((x - self.level).square().mean() for x in batch.inputs.values())}
        terms = super().loss(batch, stage, progress)
        return {"total": terms["total"] + (self.level - 9).square()}

    def forward(self, inputs):
        return self.head(torch.cat([x.mean((2, 3)) for x in inputs.values()], 1)).sigmoid()

    def reconstruct(self, inputs, mask):
        hidden = torch.rand(next(iter(inputs.values())).shape[-2:]) < mask
        masked = {m.value: x.masked_fill(hidden, 0) for m, x in inputs.items()}
        return Reconstruction(inputs, masked, {m: torch.where(hidden, self.level, x) for m, x in inputs.items()})

    def pair_statistics(self, states):
        known = torch.cat(list(states)).clamp(min=0)
        aus = known.shape[1]
        return known.T @ known / len(known), torch.full((aus, aus, 16), float(len(states)))

    def modality_selection(self, inputs):
        present = torch.stack([x.flatten(1).any(1) for x in inputs.values()], 1) + 1.0
        return present / present.sum(1, keepdim=True)
