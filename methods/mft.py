# Installed as aubench.methods.mft.
"""MFT: AU tokens of each modality through a transformer, fused by multi-head attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from aubench import (
    AnyRecipe,
    Batch,
    Fidelity,
    IntUniform,
    LogUniform,
    MethodCard,
    Modality,
    Progress,
    Stage,
    Task,
    Uniform,
    masked_bce_with_logits,
)
from aubench.methods._modules.au_tokens import AUEncoding, AUHeads, FusionAttention, Tokens
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.method_bases import LogitFusion
from aubench.methods._modules.single_modality import ONE_CHANNEL, TRAINED_ALIKE

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class MFTRecipe(BackboneRecipe):
    """Hyper-parameters of tokens, transformers, fusion and unimodal losses."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"width": 64, "heads": 4, "layers": 1},
        "small": {"learning_rate": 2.5e-3},
    }

    tokens: Tokens = Field(
        "attention", description="AU tokens by attention maps, or by linear projections of the average over positions."
    )
    width: int = Field(256, ge=1, description="Width of a token.")
    layers: Annotated[int, IntUniform(1, 3)] = Field(2, ge=1, description="Number of transformer layers per modality.")
    heads: int = Field(8, ge=1, description="Number of attention heads.")
    dropout: Annotated[float, Uniform(0, 0.5)] = Field(0.1, ge=0, lt=1)
    query: Literal["sum", "visual", "depth", "thermal"] = Field(
        "sum", description="Query of the fusion: the sum of all modalities' tokens, or one modality's tokens."
    )
    weight_unimodal: Annotated[float, LogUniform(0.1, 10)] = Field(
        1.0, gt=0, description="Weight of each unimodal loss."
    )

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class MFT(LogitFusion):
    """A ResNet, AU tokens and a transformer per modality, fusion attention, a linear layer for each AU, sigmoid."""

    Recipe = MFTRecipe
    recipe: MFTRecipe
    card = MethodCard(
        title="MFT",
        paper="Zhang and Yin: Multi-Modal Learning for AU Detection Based on Multi-Head Fused Transformers, FG 2021",
        fidelity=Fidelity.APPROXIMATE,
        deviations=(
            "The implementation follows the abstract: a transformer encoder per modality learns AU encodings, a fusion "
            "transformer with multi-head fusion attention combines them, and training is end to end. Sizes, losses "
            "and training are our choices.",
            "An AU's token is the average of the last map under the AU's softmax attention map, projected to 256, plus "
            "a learned embedding. tokens=linear projects the average over positions for each AU.",
            "Each modality has two pre-norm transformer layers with 8 heads. One fusion block with post-norm residuals "
            "follows.",
            "In the fusion, the sum of the modalities' tokens queries the tokens of all modalities. query=visual, "
            "depth or thermal uses one modality as the query.",
            "Each AU has a separate linear layer on its token. Each modality has such layers too, with loss weight 1, "
            "used only in training.",
            "A single modality uses the same fusion block as self-attention.",
            *TRAINED_ALIKE,
            *ONE_CHANNEL,
        ),
    )

    def __init__(self, task: Task, recipe: MFTRecipe) -> None:
        super().__init__(task, recipe)
        width, heads, dropout, aus = recipe.width, recipe.heads, recipe.dropout, len(task.aus)
        self.encoders, self.encodings, self.classifiers = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for m in task.modalities:
            encoder = Encoder(recipe.backbone, m.channels, recipe.weights)
            self.encoders[m.value] = encoder
            self.encodings[m.value] = AUEncoding(
                recipe.tokens, encoder.features, aus, width, recipe.layers, heads, dropout
            )
            self.classifiers[m.value] = AUHeads(width, aus)
        self.fusion = FusionAttention(width, heads, dropout)
        self.classifier = AUHeads(width, aus)

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Return an error message for a task without the modality of the recipe's query."""
        assert isinstance(recipe, MFTRecipe)
        if recipe.query not in ("sum", *task.modalities):
            return f"query={recipe.query} needs {recipe.query} images"
        return None

    def encode(self, modality: Modality, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n au d"]:
        """Return the AU encodings of one modality."""
        encoder: Encoder = self.encoders[modality.value]  # type: ignore[assignment]
        encodings: Tensor = self.encodings[modality.value](encoder.maps(images))
        return encodings

    def fuse_logits(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """Return the logits of AUs from the tokens of all modalities."""
        tokens = [features[m] for m in self.task.modalities]
        query = torch.stack(tokens).sum(0) if self.recipe.query == "sum" else features[Modality(self.recipe.query)]
        logits: Tensor = self.classifier(self.fusion(query, torch.cat(tokens, 1)))
        return logits

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """Return the fused loss and the unimodal losses."""
        features = {m: self.encode(m, batch.inputs[m]) for m in self.task.modalities}
        terms = {"fused": masked_bce_with_logits(self.fuse_logits(features), batch.labels)}
        total = terms["fused"]
        for m, tokens in features.items():
            terms[m.value] = masked_bce_with_logits(self.classifiers[m.value](tokens), batch.labels)
            total = total + self.recipe.weight_unimodal * terms[m.value]
        return {"total": total, **terms}
