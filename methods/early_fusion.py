# Installed as aubench.methods.early_fusion.
"""Early fusion: one ResNet on the channels of all modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from aubench import Fidelity, Inputs, MethodCard, Task
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.method_bases import LogitMethod, SeveralModalities
from aubench.methods._modules.single_modality import DEVIATIONS, PAPER

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class EarlyFusionRecipe(BackboneRecipe):
    """Hyper-parameters of early fusion."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small": {"learning_rate": 1e-2}}


class EarlyFusion(SeveralModalities, LogitMethod):
    """Channels concatenated at the input, then ResNet, global average pooling, one linear layer, sigmoid."""

    Recipe = EarlyFusionRecipe
    recipe: EarlyFusionRecipe
    card = MethodCard(
        title="Early fusion",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        deviations=(
            *DEVIATIONS,
            "The first layer keeps its RGB weights, uses their mean for every other channel, and scales all weights by "
            "3 over the number of channels. The paper does not specify this adaptation.",
        ),
    )

    def __init__(self, task: Task, recipe: EarlyFusionRecipe) -> None:
        super().__init__(task, recipe)
        self.encoder = Encoder(recipe.backbone, task.channels, recipe.weights)
        self.classifier = nn.Linear(self.encoder.features, len(task.aus))

    def forward_logits(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """Return the logits of AUs."""
        images = torch.cat([inputs[m] for m in self.task.modalities], 1)
        logits: Tensor = self.classifier(self.encoder(images))
        return logits
