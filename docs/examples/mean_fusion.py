"""Mean fusion: a small CNN for each modality, and the mean of their answers."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from aubench import BranchedMethod, Card, Fidelity, Modality, Recipe, Task


class MeanFusionRecipe(Recipe):
    """What every recipe has, and one thing more."""

    width: int = Field(16, ge=1, description="Channels of the first layer; each later one doubles them.")


class MeanFusion(BranchedMethod):
    """Three convolutions, pooling and a linear layer for each modality; their probabilities are averaged."""

    Recipe = MeanFusionRecipe
    card = Card(title="Mean fusion", paper="None: the example of docs/add-a-method.md", fidelity=Fidelity.EXACT)

    def __init__(self, task: Task, recipe: MeanFusionRecipe) -> None:
        super().__init__(task, recipe)
        self.networks = nn.ModuleDict()
        for modality in task.modalities:
            layers, width = nn.Sequential(), recipe.width
            for before, after in ((modality.channels, width), (width, 2 * width), (2 * width, 4 * width)):
                layers.extend([nn.Conv2d(before, after, 3, stride=2), nn.BatchNorm2d(after), nn.ReLU()])
            layers.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, len(task.aus))])
            self.networks[modality] = layers

    def encode(self, modality: Modality, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to probabilities (N, A) by this modality alone."""
        return torch.sigmoid(self.networks[modality](images))

    def fuse(self, features: Mapping[Modality, Tensor]) -> Tensor:
        """The mean of the modalities' probabilities (N, A)."""
        return torch.stack([features[m] for m in self.task.modalities]).mean(0)
