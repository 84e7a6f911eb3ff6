"""CAM: late fusion with channel attention on the last maps of all ResNets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import nn

from aubench import AnyRecipe, BranchedMethod, Categorical, Fidelity, MethodCard, Modality, Task
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.channel_attention import ChannelAttention, Gate
from aubench.methods._modules.single_modality import DEVIATIONS, ONE_CHANNEL, PAPER

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class CAMRecipe(BackboneRecipe):
    """Which channel attention, and of what."""

    gate: Annotated[Gate, Categorical("cbam", "se")] = Field(
        "cbam", description="'cbam' pools by average and maximum, 'se' by average alone."
    )
    reduction: Annotated[int, Categorical(4, 8, 16, 32)] = Field(
        16, ge=1, description="r: channels of the maps over units of the gate's bottleneck."
    )
    per_stream: Annotated[bool, Categorical(False, True)] = Field(
        False, description="A gate for each modality instead of one on the maps of all."
    )


class CAM(BranchedMethod):
    """A ResNet per modality, gated channels, global average pooling, one linear layer, sigmoid."""

    Recipe = CAMRecipe
    recipe: CAMRecipe
    card = MethodCard(
        title="Channel attention",
        paper=f"Baseline of {PAPER}; gate of Woo et al.: CBAM, ECCV 2018",
        fidelity=Fidelity.APPROXIMATE,
        deviations=(
            "The paper has nothing but the name, ResNet-18 with a channel attention mechanism; the gate is CBAM's for "
            "channels with a reduction of 16, and gate=se is the other usual one.",
            "The gate sees the last maps of all modalities side by side, since the paper speaks of the late-fusion "
            "model with it and without; per_stream=true has a gate for each modality.",
            "The gate's two layers have no biases, as CBAM's equation is printed.",
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

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Refuse a single modality."""
        return None if len(task.modalities) > 1 else "fuses two or three modalities, and there is one"

    def encode(self, modality: Modality, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d height width"]:
        """The last maps of one modality."""
        encoder: Encoder = self.encoders[modality.value]  # type: ignore[assignment]
        return encoder.maps(images)

    def fuse(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """AU probabilities."""
        streams = [features[m] for m in self.task.modalities]
        maps = streams if self.recipe.per_stream else [torch.cat(streams, 1)]
        pooled = [attend(x).mean((2, 3)) for attend, x in zip(self.attention, maps, strict=True)]
        logits: Tensor = self.classifier(torch.cat(pooled, 1))
        return logits.float().sigmoid()
