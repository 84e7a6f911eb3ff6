# Installed as aubench.methods.cam.
"""CAM: late fusion with channel attention on the last feature maps of all ResNets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import nn

from aubench import Categorical, Fidelity, MethodCard, Modality, Task
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.channel_attention import ChannelAttention, Gate
from aubench.methods._modules.method_bases import LogitFusion, SeveralModalities
from aubench.methods._modules.single_modality import DEVIATIONS, ONE_CHANNEL, PAPER

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class CAMRecipe(BackboneRecipe):
    """Hyper-parameters of the channel attention."""

    gate: Annotated[Gate, Categorical("cbam", "se")] = Field(
        "cbam", description="'cbam' pools by average and maximum, 'se' by average only."
    )
    reduction: Annotated[int, Categorical(4, 8, 16, 32)] = Field(
        16, ge=1, description="r, the ratio of channels to units of the gate's bottleneck."
    )
    per_stream: Annotated[bool, Categorical(False, True)] = Field(
        False, description="One gate per modality instead of one on the concatenated maps."
    )


class CAM(SeveralModalities, LogitFusion):
    """A ResNet per modality, gated channels, global average pooling, one linear layer, sigmoid."""

    Recipe = CAMRecipe
    recipe: CAMRecipe
    card = MethodCard(
        title="Channel attention",
        paper=f"Baseline of {PAPER}; gate of Woo et al.: CBAM, ECCV 2018",
        fidelity=Fidelity.APPROXIMATE,
        deviations=(
            "The paper only names ResNet-18 with a channel attention mechanism. The gate is CBAM's channel attention "
            "with a reduction of 16. gate=se is the other common choice.",
            "The gate takes the concatenated last maps of all modalities, since the paper compares the late-fusion "
            "model with and without it. per_stream=true uses one gate per modality.",
            "The gate's two layers have no biases, as in CBAM's printed equation.",
            *DEVIATIONS,
            *ONE_CHANNEL,
        ),
    )

    def __init__(self, task: Task, recipe: CAMRecipe) -> None:
        super().__init__(task, recipe)
        encoders = {m.value: Encoder(recipe.backbone, m.channels, recipe.weights) for m in task.modalities}
        widths = [encoder.features for encoder in encoders.values()]
        gated = widths if recipe.per_stream else [sum(widths)]
        self.encoders = nn.ModuleDict(encoders)
        self.attention = nn.ModuleList(ChannelAttention(width, recipe.reduction, recipe.gate) for width in gated)
        self.classifier = nn.Linear(sum(widths), len(task.aus))

    def encode(self, modality: Modality, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d height width"]:
        """Return the last feature maps of one modality."""
        encoder: Encoder = self.encoders[modality.value]  # type: ignore[assignment]
        return encoder.maps(images)

    def fuse_logits(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """Return the logits of AUs from the features of all modalities."""
        streams = [features[m] for m in self.task.modalities]
        maps = streams if self.recipe.per_stream else [torch.cat(streams, 1)]
        pooled = [attend(x).mean((2, 3)) for attend, x in zip(self.attention, maps, strict=True)]
        logits: Tensor = self.classifier(torch.cat(pooled, 1))
        return logits
