"""AMF: adaptive multimodal fusion by sampling each feature from the modality that scores it highest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, cast

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from aubench import (
    AnyRecipe,
    Batch,
    BranchedMethod,
    Categorical,
    Fidelity,
    Inputs,
    LogUniform,
    MethodCard,
    Modality,
    Progress,
    Stage,
    Task,
    Uniform,
    masked_bce,
)
from aubench.methods._modules import gumbel_selection, gumbel_voting
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.cut_switch import CHANNELS, CutSwitchRecipe, cut_switch, replicate_channels
from aubench.methods._modules.single_modality import DEVIATIONS, PAPER

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

VOTES_SEED = 20201012
"""Of the draws that predictions are made with."""


class AMFRecipe(BackboneRecipe, CutSwitchRecipe):
    """AMF's own hyper-parameters.

    Its Table 4: ``cut_switch=0`` takes cut-switch away; ``late_fusion`` with ``cut_switch=0.5`` takes all
    but cut-switch away.
    """

    cut_switch: Annotated[float, Uniform(0, 1)] = Field(
        0.5, ge=0, le=1, description="Share of training frames that are cut and switched."
    )
    samples: int = Field(100, ge=1, description="K: draws that are averaged.")
    temperature: Annotated[float, LogUniform(0.3, 3)] = Field(1.0, gt=0, description="τ at the beginning.")
    final_temperature: Annotated[float, LogUniform(0.1, 1)] = Field(0.5, gt=0, description="τ at the end.")
    schedule: Literal["linear", "exponential"] = Field("linear", description="From epoch to epoch, or within each.")
    decay: float = Field(6e-4, gt=0, description="Rate per step of the exponential schedule.")
    weight_fused: Annotated[float, LogUniform(0.25, 4)] = Field(2.0, ge=0, description="λ_* of eq. 11.")
    weight_modality: float = Field(1.0, ge=0, description="λ_k of eq. 11.")
    weight_guidance: Annotated[float, LogUniform(0.05, 10)] = Field(1.0, ge=0, description="λ_k^* of eq. 11.")
    guidance: Annotated[Literal["align", "oppose"], Categorical("align", "oppose")] = Field(
        "align", description="Scores follow the gradient, or its reverse."
    )
    guidance_trains: Literal["scoring", "all"] = Field("scoring", description="Whether eq. 10 reaches the encoders.")
    detach_scored: bool = Field(False, description="Scoring sends no gradient at all into the encoders.")
    voting: Literal["sampled", "expected", "argmax"] = Field("sampled", description="How predictions are made.")


class Scoring(nn.Sequential):
    """Eq. (2): a score in [0, 1] for each feature of a modality."""

    def __init__(self, features: int) -> None:
        super().__init__(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features))

    def forward(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Scores of features."""
        logits: Tensor = super().forward(features)  # type: ignore[no-untyped-call]
        return logits.float().sigmoid()


class AMF(BranchedMethod):
    """Encoders, feature scoring, K Gumbel-softmax selections, and one vote for each."""

    Recipe = AMFRecipe
    recipe: AMFRecipe
    card = MethodCard(
        title="AMF",
        paper=PAPER,
        fidelity=Fidelity.RESOLVED,
        deviations=(
            *DEVIATIONS,
            "All encoders take three channels, depth and thermal being replicated, so that cut-switch can move "
            "patches between any two; the paper does not say how it does.",
            "Scoring g is an MLP D-D-D with ReLU and sigmoid, one per modality (eq. 2 leaves it open).",
            "Scores below 1e-8 count as 1e-8 in logarithms (eqs. 4 and 6).",
            "Selection is straight-through: one-hot values, gradients of the softmax (the paper says only that h "
            "becomes one-hot).",
            "A selected feature has the width D of one modality, not M times D (after eq. 3).",
            "All classifiers are one linear layer (the paper does not say).",
            "Eq. 9 averages probabilities, not logits, since eq. 7 takes their logarithm.",
            "Eqs. 8 and 9 are read without their minus sign, which eq. 7 already has.",
            "Eqs. 7 to 9 sum over AUs; here they are the mean over known AUs, so that eq. 10 weighs as many times as "
            "much beside them as there are AUs, 12 times on BP4D; weight_guidance=0.0833 is the printed ratio there.",
            "The norm in eq. 10 is taken element by element, as a scalar has no cosine with a vector; the gradient is "
            "a constant target.",
            "dist in eq. 10 is the cosine similarity, so that scores are drawn to where gradients are large "
            "(guidance=align); guidance=oppose is the other reading.",
            "Eq. 10 trains scoring alone, on detached features; guidance_trains=all lets it reach the encoders.",
            "Eq. 9 reaches the encoders through scoring too; detach_scored=true stops that.",
            "The temperature falls linearly over all epochs that there can be (30, a number of ours) and is 0.5 in the "
            "last, which training that stops early never comes to; schedule=exponential falls within each epoch.",
            "Predictions average K draws with noise fixed once for all frames; voting=expected and voting=argmax "
            "need no draws.",
            "The K draws come in groups of M that have the same Gumbel noise, passed round between the M modalities: "
            "each draw has the distribution of eqs. 4 to 6, the draws of a group are negatively correlated, and any "
            "two others are independent (the paper does not say how it draws).",
            "Cut-switch meets half of the training frames, each with a block of its own; the paper gives no share.",
        ),
    )

    votes: Tensor

    def __init__(self, task: Task, recipe: AMFRecipe) -> None:
        super().__init__(task, recipe)
        names = [m.value for m in task.modalities]
        encoders = {m: Encoder(recipe.backbone, CHANNELS, recipe.weights) for m in names}
        width = encoders[names[0]].features
        self.encoders = nn.ModuleDict(encoders)
        self.scoring = nn.ModuleDict({m: Scoring(width) for m in names})
        self.classifiers = nn.ModuleDict({m: nn.Linear(width, len(task.aus)) for m in names})
        self.classifier = nn.Linear(width, len(task.aus))
        generator = torch.Generator().manual_seed(VOTES_SEED)
        drawn = gumbel_selection.Noise.drawn(
            len(names), 1, recipe.samples, width, device=torch.device("cpu"), generator=generator
        )
        self.register_buffer("votes", drawn.differences())

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Refuse a single modality."""
        return None if len(task.modalities) > 1 else "selects between two or three modalities, and there is one"

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Cut-switch."""
        return cut_switch(batch, self.recipe.cut_switch_block, self.recipe.cut_switch, generator)

    def encode(self, modality: Modality, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Eq. (1)."""
        features: Tensor = self.encoders[modality.value](replicate_channels(images))
        return features

    def fuse(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """AU probabilities by the votes of fixed draws, or by what the recipe wants instead."""
        stacked = self._stacked(features)
        return self.voted(gumbel_selection.weighted_features(self._selected(stacked), stacked))  # a* of eq. (3)

    def modality_selection(self, inputs: Inputs) -> Float[Tensor, "n m"]:
        """The share of features, over all votes, that predictions take from each modality.

        Args:
            inputs: As in ``forward``.
        """
        stacked = self._stacked({m: self.encode(m, inputs[m]) for m in self.task.modalities})
        rivals = self._selected(stacked).mean((-2, -1)).mT
        return torch.cat([rivals, 1 - rivals.sum(1, keepdim=True)], 1)

    def scores(self, features: Float[Tensor, "m n d"]) -> Float[Tensor, "m n d"]:
        """Eq. (2)."""
        seen = features.detach() if self.recipe.detach_scored else features
        return torch.stack([g(a) for g, a in zip(self.scoring.values(), seen, strict=True)])

    def voted(self, selected: Float[Tensor, "n k d"]) -> Float[Tensor, "n au"]:
        """The mean over draws in eq. (9)."""
        votes: Tensor = self.classifier(selected)
        return votes.float().sigmoid().mean(1)  # eq. (9)

    def temperature(self, progress: Progress) -> float:
        """τ of eq. (6) at a step."""
        recipe = self.recipe
        if recipe.schedule == "exponential":
            return max(recipe.final_temperature, recipe.temperature * math.exp(-recipe.decay * progress.step))
        done = progress.epoch / max(progress.epochs - 1, 1)
        return recipe.temperature + (recipe.final_temperature - recipe.temperature) * done

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """Eq. (11), with the terms of eqs. (8), (9) and (10) beside it."""
        features = {m: self.encode(m, batch.inputs[m]) for m in self.task.modalities}
        stacked = self._stacked(features)
        modalities, frames, width = stacked.shape
        drawn = gumbel_selection.Noise.drawn(modalities, frames, self.recipe.samples, width, device=stacked.device)
        scores, guided = self._scores_to_guide(stacked)
        odds = gumbel_selection.log_odds(scores)
        votes = gumbel_voting.mean_vote(odds, stacked, self.classifier, drawn, self.temperature(progress))
        terms = {"fused": masked_bce(votes, batch.labels)}  # eq. (9)
        total = self.recipe.weight_fused * terms["fused"]
        for m, score in zip(self.task.modalities, guided, strict=True):
            classifier = cast(nn.Linear, self.classifiers[m.value])
            chances = classifier(features[m]).float().sigmoid()
            alone = masked_bce(chances, batch.labels)  # eq. (8)
            guidance = self.guidance(score, loss_gradient(classifier.weight, chances, batch.labels))
            total = total + self.recipe.weight_modality * alone + self.recipe.weight_guidance * guidance  # eq. (11)
            terms |= {m.value: alone, f"guidance_{m}": guidance}
        return {"total": total, **terms}

    def guidance(self, scores: Float[Tensor, "n d"], gradient: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Eq. (10): how far a modality's scores are from the profile of its gradient.

        Args:
            scores: α of the modality.
            gradient: Of the modality's own loss, eq. (8), with respect to its features.
        """
        likeness = functional.cosine_similarity(scores, gradient.abs(), dim=-1).mean()
        return 1 - likeness if self.recipe.guidance == "align" else likeness

    def _scores_to_guide(self, features: Float[Tensor, "m n d"]) -> tuple[Tensor, Tensor]:
        """Scores for selection, and the same for eq. (10), which may be cut off from the encoders."""
        if self.recipe.guidance_trains == "all":
            scores = self.scores(features)
            return scores, scores
        scores, guided = self.scores(torch.cat([features, features.detach()], 1)).chunk(2, 1)
        return scores, guided

    def _selected(self, stacked: Float[Tensor, "m n d"]) -> Float[Tensor, "rivals n k d"]:
        """What predictions take from each modality but the last."""
        odds = gumbel_selection.log_odds(self.scores(stacked))
        if self.recipe.voting == "expected":
            return gumbel_selection.relaxed_selection(odds, 1.0)
        return gumbel_selection.hard_selection(odds if self.recipe.voting == "argmax" else odds + self.votes)

    def _stacked(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "m n d"]:
        return torch.stack([features[m] for m in self.task.modalities])


def loss_gradient(
    weight: Float[Tensor, "au d"], chances: Float[Tensor, "n au"], labels: Int[Tensor, "n au"]
) -> Float[Tensor, "n d"]:
    """Gradient of eq. (8), as :func:`~aubench.masked_bce` averages it, with respect to a modality's features.

    Args:
        weight: Of the linear layer whose sigmoids are ``chances``.
        chances: AU probabilities.
        labels: 1 present, 0 absent, -1 unknown.
    """
    known = labels >= 0
    slopes = (chances.detach().float() - labels) * known / known.sum().clamp(min=1)
    return slopes @ weight.detach()
