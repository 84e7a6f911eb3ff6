# Installed as aubench.methods.late_fusion.
"""Late fusion: a ResNet per modality and one linear layer on their concatenated features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from aubench import AnyRecipe, Batch, Fidelity, MethodCard, Modality, Task
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.cut_switch import CHANNELS, CutSwitchRecipe, cut_switch, replicate_channels
from aubench.methods._modules.method_bases import LogitFusion
from aubench.methods._modules.single_modality import DEVIATIONS, ONE_CHANNEL, PAPER

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class LateFusionRecipe(BackboneRecipe, CutSwitchRecipe):
    """Hyper-parameters of late fusion. ``cut_switch`` above 0 gives the second row of AMF's Table 4."""


class LateFusion(LogitFusion):
    """Concatenation of globally pooled features, one linear layer, sigmoid."""

    Recipe = LateFusionRecipe
    recipe: LateFusionRecipe
    card = MethodCard(
        title="Late fusion",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        deviations=(
            *DEVIATIONS,
            *ONE_CHANNEL,
            "One modality alone is a ResNet without fusion.",
            "Training uses no cut-switch, since late fusion in Table 1 equals the row without it in Table 4. If "
            "cut_switch is above 0, one-channel images are replicated to three channels, as in AMF.",
        ),
    )

    def __init__(self, task: Task, recipe: LateFusionRecipe) -> None:
        super().__init__(task, recipe)
        encoders = {m.value: Encoder(recipe.backbone, self._channels(m), recipe.weights) for m in task.modalities}
        self.encoders = nn.ModuleDict(encoders)
        self.classifier = nn.Linear(sum(encoder.features for encoder in encoders.values()), len(task.aus))

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Return an error message for cut-switch with a single modality."""
        assert isinstance(recipe, LateFusionRecipe)
        is_supported = len(task.modalities) > 1 or not recipe.cut_switch
        return None if is_supported else "its recipe's cut_switch needs two or more modalities, got one"

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Apply cut-switch if the recipe enables it."""
        recipe = self.recipe
        if not recipe.cut_switch:
            return batch
        return cut_switch(batch, recipe.cut_switch_block, recipe.cut_switch, generator)

    def encode(self, modality: Modality, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the features of one modality."""
        features: Tensor = self.encoders[modality.value](
            replicate_channels(images) if self.recipe.cut_switch else images
        )
        return features

    def fuse_logits(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """Return the logits of AUs from the features of all modalities."""
        logits: Tensor = self.classifier(torch.cat([features[m] for m in self.task.modalities], 1))
        return logits

    def _channels(self, modality: Modality) -> int:
        return CHANNELS if self.recipe.cut_switch else modality.channels
