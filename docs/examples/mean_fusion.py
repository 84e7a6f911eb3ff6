"""Mean fusion: a small CNN for each modality, and the mean of their probabilities."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from aubench import BranchedMethod, Fidelity, MethodCard, Modality, Recipe, Task


class MeanFusionRecipe(Recipe):
    """Recipe of mean fusion."""

    presets: ClassVar = {"tiny": {"learning_rate": 2e-3}}
    width: int = 16


class MeanFusion(BranchedMethod):
    """Three convolutions and a linear layer on a 6 by 6 grid per modality, with averaged probabilities."""

    Recipe = MeanFusionRecipe
    card = MethodCard(title="Mean fusion", paper="None: the example of docs/add-a-method.md", fidelity=Fidelity.EXACT)

    def __init__(self, task: Task, recipe: MeanFusionRecipe) -> None:
        super().__init__(task, recipe)
        self.networks, width = nn.ModuleDict(), recipe.width
        for modality in task.modalities:
            self.networks[modality] = layers = nn.Sequential()
            for before, after in ((modality.channels, width), (width, 2 * width), (2 * width, 4 * width)):
                layers.extend([nn.Conv2d(before, after, 3, stride=2), nn.BatchNorm2d(after), nn.ReLU()])
            layers.extend([nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(144 * width, len(task.aus))])

    def encode(self, modality: Modality, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to probabilities (N, A) by this modality alone."""
        return self.networks[modality](images).float().sigmoid()

    def fuse(self, features: Mapping[Modality, Tensor]) -> Tensor:
        """Average the modalities' probabilities (N, A)."""
        return torch.stack([features[m] for m in self.task.modalities]).mean(0)
