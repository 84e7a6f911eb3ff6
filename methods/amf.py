# Installed as aubench.methods.amf.
"""AMF: adaptive multimodal fusion that samples each feature from a modality by its scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional
from torch.nn.functional import logsigmoid

from aubench import (
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
)
from aubench.methods._modules import gumbel_selection, gumbel_voting
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.cut_switch import CHANNELS, CutSwitchRecipe, cut_switch, replicate_channels
from aubench.methods._modules.method_bases import SeveralModalities
from aubench.methods._modules.single_modality import DEVIATIONS, PAPER

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

VOTES_SEED = 20201012
"""Seed of the Gumbel noise used for predictions."""


class AMFRecipe(BackboneRecipe, CutSwitchRecipe):
    """Hyper-parameters of AMF.

    For the paper's Table 4, ``cut_switch=0`` removes cut-switch, and ``late_fusion`` with ``cut_switch=0.5`` removes
    everything except cut-switch.
    """

    cut_switch: Annotated[float, Uniform(0, 1)] = Field(
        0.5, ge=0, le=1, description="Share of training frames that cut-switch changes."
    )
    samples: int = Field(100, ge=1, description="K, the number of averaged draws.")
    temperature: Annotated[float, LogUniform(0.5, 3)] = Field(1.0, gt=0, description="Initial τ.")
    final_temperature: Annotated[float, LogUniform(0.1, 1)] = Field(0.5, gt=0, description="Final τ.")
    schedule: Literal["linear", "exponential"] = Field(
        "linear", description="Decay of τ per epoch (linear) or per step of each epoch (exponential)."
    )
    decay: float = Field(6e-4, gt=0, description="Decay rate per step of the exponential schedule.")
    weight_fused: Annotated[float, LogUniform(0.25, 4)] = Field(2.0, ge=0, description="λ_* of eq. 11.")
    weight_modality: float = Field(1.0, ge=0, description="λ_k of eq. 11.")
    weight_guidance: Annotated[float, LogUniform(0.05, 10)] = Field(1.0, ge=0, description="λ_k^* of eq. 11.")
    over_aus: Literal["sum", "mean"] = Field(
        "sum", description="Eqs. 7 to 9 over the known AUs: the sum as printed, or the mean."
    )
    guidance: Annotated[Literal["align", "oppose"], Categorical("align", "oppose")] = Field(
        "align", description="Direction of eq. 10: scores align with the gradient or oppose it."
    )
    guidance_trains: Literal["scoring", "all"] = Field(
        "scoring", description="Modules that eq. 10 trains. 'all' includes the encoders."
    )
    detach_scored: bool = Field(False, description="Stop every gradient from scoring into the encoders.")
    voting: Literal["sampled", "expected", "argmax"] = Field("sampled", description="Selection used for predictions.")

    @model_validator(mode="after")
    def _cools(self) -> Self:
        if self.final_temperature > self.temperature:
            raise ValueError(f"final_temperature {self.final_temperature:g} is above temperature {self.temperature:g}")
        return self


class Scoring(nn.Sequential):
    """MLP of eq. (2), whose sigmoid is the score of each feature of a modality."""

    def __init__(self, features: int) -> None:
        super().__init__(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features))


class AMF(SeveralModalities, BranchedMethod):
    """Encoders, feature scoring, and K Gumbel-softmax selections with one vote each."""

    Recipe = AMFRecipe
    recipe: AMFRecipe
    card = MethodCard(
        title="AMF",
        paper=PAPER,
        fidelity=Fidelity.RESOLVED,
        deviations=(
            *DEVIATIONS,
            "All encoders take three channels. Depth and thermal images are replicated, so that cut-switch can move "
            "patches between any two modalities. The paper does not specify this.",
            "Scoring g is an MLP D-D-D with ReLU and sigmoid, one per modality. Eq. 2 does not specify it.",
            "Scores are clamped to at least 1e-8 before the logarithm (eqs. 4 and 6).",
            "Selection is straight-through: one-hot values with the gradients of the softmax. The paper only states "
            "that h becomes one-hot.",
            "A selected feature vector has the width D of one modality, not M times D (after eq. 3).",
            "All classifiers are one linear layer. The paper does not specify them.",
            "Eq. 9 averages probabilities instead of logits, since eq. 7 takes their logarithm. In a draw, the "
            "probability of each answer is at least 1e-30.",
            "Eqs. 8 and 9 are read without their minus sign, which eq. 7 already has.",
            "Eqs. 7 to 9 sum over AUs as printed, here over known AUs, and are averaged over labelled frames. "
            "over_aus=mean averages over AUs as well, which gives eq. 10 a weight larger by the number of AUs.",
            "The norm in eq. 10 is taken element by element, as a scalar has no cosine with a vector. The gradient is "
            "a constant target.",
            "dist in eq. 10 is the cosine similarity, so that scores are large where gradients are large "
            "(guidance=align). guidance=oppose is the opposite reading.",
            "Eq. 10 trains only the scoring networks, on detached features. guidance_trains=all also trains the "
            "encoders.",
            "Eq. 9 also sends gradients through scoring into the encoders. detach_scored=true stops them.",
            "The temperature falls linearly to 0.5 over the maximum number of epochs. This maximum, 30, is our choice. "
            "Training that stops early does not reach 0.5. schedule=exponential lowers the temperature in each epoch.",
            "Predictions average K draws with noise fixed once for all frames. voting=expected and voting=argmax "
            "use no draws.",
            "The K draws form groups of M that share their Gumbel noise, rotated between the M modalities. Each draw "
            "has the distribution of eqs. 4 to 6, the draws of a group are negatively correlated, and any two other "
            "draws are independent. The paper does not specify the sampling.",
            "Cut-switch changes half of the training frames, each with its own block. The paper gives no share. Each "
            "modality receives the block of another one. The paper does not say whether it may keep its own.",
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
        noise = gumbel_selection.Noise.sample(
            len(names), 1, recipe.samples, width, device=torch.device("cpu"), generator=generator
        )
        self.register_buffer("votes", noise.differences())

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Apply cut-switch."""
        return cut_switch(batch, self.recipe.cut_switch_block, self.recipe.cut_switch, generator)

    def encode(self, modality: Modality, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the features of eq. (1)."""
        features: Tensor = self.encoders[modality.value](replicate_channels(images))
        return features

    def fuse(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """Return AU probabilities by the selection that the recipe's ``voting`` names."""
        stacked = self._stacked(features)
        return self.average_votes(gumbel_selection.weighted_features(self._selected(stacked), stacked))  # a* of eq. (3)

    def modality_selection(self, inputs: Inputs) -> Float[Tensor, "n m"]:
        """Return the share of features, over all votes, that predictions take from each modality.

        Args:
            inputs: As in ``forward``.
        """
        stacked = self._stacked({m: self.encode(m, inputs[m]) for m in self.task.modalities})
        rivals = self._selected(stacked).mean((-2, -1)).mT
        return torch.cat([rivals, 1 - rivals.sum(1, keepdim=True)], 1)

    def scores(self, features: Float[Tensor, "m n d"]) -> Float[Tensor, "m n d"]:
        """Return the scores of eq. (2)."""
        scored = features.detach() if self.recipe.detach_scored else features
        return torch.stack([g(a) for g, a in zip(self.scoring.values(), scored, strict=True)]).float().sigmoid()

    def average_votes(self, selected: Float[Tensor, "n k d"]) -> Float[Tensor, "n au"]:
        """Return the mean over draws of eq. (9)."""
        votes: Tensor = self.classifier(selected)
        return votes.float().sigmoid().mean(1)  # eq. (9)

    def temperature(self, progress: Progress) -> float:
        """Return τ of eq. (6) at a step."""
        recipe = self.recipe
        if recipe.schedule == "exponential":
            return max(recipe.final_temperature, recipe.temperature * math.exp(-recipe.decay * progress.step))
        done = progress.epoch / max(progress.epochs - 1, 1)
        return recipe.temperature + (recipe.final_temperature - recipe.temperature) * done

    def loss_constants(self, stage: Stage, progress: Progress) -> tuple[float]:
        """Return the temperature."""
        return (self.temperature(progress),)

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """Return the loss of eq. (11) and its terms, eqs. (8), (9) and (10)."""
        features = {m: self.encode(m, batch.inputs[m]) for m in self.task.modalities}
        stacked = self._stacked(features)
        modalities, frames, width = stacked.shape
        noise = gumbel_selection.Noise.sample(modalities, frames, self.recipe.samples, width, device=stacked.device)
        scores, guided = self._scores_to_guide(stacked)
        odds = gumbel_selection.log_odds(scores)
        votes = gumbel_voting.mean_vote(odds, stacked, self.classifier, noise, self.temperature(progress))
        logits = torch.stack([self.classifiers[m.value](features[m]) for m in self.task.modalities]).float()
        log_odds = torch.stack([logits, -logits])
        present, absent = torch.cat([votes.log()[:, None], logsigmoid(log_odds)], 1)
        losses = cross_entropy(present, absent, batch.labels, self.recipe.over_aus)  # eq. (9), then eq. (8)
        weights = torch.stack([cast(nn.Linear, c).weight for c in self.classifiers.values()])
        guidance = self.guidance(guided, loss_gradient(weights, logits.sigmoid(), batch.labels), batch.labels)
        recipe = self.recipe
        total = (
            recipe.weight_fused * losses[0]
            + recipe.weight_modality * losses[1:].sum()
            + recipe.weight_guidance * guidance.sum()
        )  # eq. (11)
        terms = {"total": total, "fused": losses[0]}
        for m, own, guide in zip(self.task.modalities, losses[1:], guidance, strict=True):
            terms |= {m.value: own, f"guidance_{m}": guide}
        return terms

    def guidance(
        self, scores: Float[Tensor, "*m n d"], gradient: Float[Tensor, "*m n d"], labels: Int[Tensor, "n au"]
    ) -> Float[Tensor, "*m"]:
        """Return eq. (10), the distance between a modality's scores and the magnitude of its gradient.

        Args:
            scores: α of each modality.
            gradient: Gradient of each modality's loss, eq. (8), with respect to its features.
            labels: 1 present, 0 absent, -1 unknown. Frames without a known label are ignored.
        """
        known = (labels >= 0).any(1)
        cosines = functional.cosine_similarity(scores, gradient.abs(), dim=-1)
        similarity = (cosines * known).sum(-1) / known.sum().clamp(min=1)
        return 1 - similarity if self.recipe.guidance == "align" else similarity

    def _scores_to_guide(self, features: Float[Tensor, "m n d"]) -> tuple[Tensor, Tensor]:
        """Return the scores for selection and those for eq. (10), the latter on detached features if so configured."""
        if self.recipe.guidance_trains == "all":
            scores = self.scores(features)
            return scores, scores
        scores, guided = self.scores(torch.cat([features, features.detach()], 1)).chunk(2, 1)
        return scores, guided

    def _selected(self, stacked: Float[Tensor, "m n d"]) -> Float[Tensor, "rivals n k d"]:
        """Return the selection weights that predictions give each modality except the last."""
        odds = gumbel_selection.log_odds(self.scores(stacked))
        if self.recipe.voting == "expected":
            return gumbel_selection.relaxed_selection(odds, 1.0)
        if self.recipe.voting == "argmax":
            return gumbel_selection.best_modality(odds)
        return gumbel_selection.hard_selection(odds + self.votes)

    def _stacked(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "m n d"]:
        return torch.stack([features[m] for m in self.task.modalities])


def cross_entropy(
    present: Float[Tensor, "*m n au"], absent: Float[Tensor, "*m n au"], labels: Int[Tensor, "n au"], over_aus: str
) -> Float[Tensor, "*m"]:
    """Return eq. (7) of log probabilities, averaged over labelled frames; 0 without known labels.

    Args:
        present: Logarithms of the probabilities that AUs are present.
        absent: Logarithms of the probabilities that AUs are absent.
        labels: 1 present, 0 absent, -1 unknown.
        over_aus: ``sum`` over the known AUs of a frame, or ``mean`` over all known labels.
    """
    known = labels >= 0
    count = known.sum() if over_aus == "mean" else known.any(1).sum()
    return -(torch.where(labels > 0, present, absent) * known).sum((-2, -1)) / count.clamp(min=1)


def loss_gradient(
    weight: Float[Tensor, "*m au d"], probs: Float[Tensor, "*m n au"], labels: Int[Tensor, "n au"]
) -> Float[Tensor, "*m n d"]:
    """Return the gradient of eq. (8) with respect to the features, as the mean over known labels.

    The sum over AUs differs by a factor, on which the cosine in eq. (10) does not depend.

    Args:
        weight: Weight of the linear layer that gives the logits of ``probs``.
        probs: AU probabilities.
        labels: 1 present, 0 absent, -1 unknown.
    """
    known = labels >= 0
    slopes = (probs.detach().float() - labels) * known / known.sum().clamp(min=1)
    return slopes @ weight.detach()
