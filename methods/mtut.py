# Installed as aubench.methods.mtut.
"""MTUT: one network per modality, aligned with each other in training, for unimodal prediction."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from aubench import (
    AnyRecipe,
    Batch,
    BranchedMethod,
    Fidelity,
    Inputs,
    LogUniform,
    MethodCard,
    Modality,
    Progress,
    Stage,
    Task,
    Uniform,
    masked_bce_with_logits,
)
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.single_modality import ONE_CHANNEL, TRAINED_ALIKE
from aubench.methods._modules.ssa_loss import correlations, focal_weights, misalignment

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


class MTUTRecipe(BackboneRecipe):
    """Hyper-parameters of the alignment. ``weight_alignment=0`` trains each network independently."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"weight_alignment": 2e-3},
        "small": {"learning_rate": 2e-2},
    }
    """For unstructured maps, the normalised ‖·‖² scales with channels / positions², 25 times as large here."""

    weight_alignment: Annotated[float, LogUniform(1e-4, 1)] = Field(
        0.05, ge=0, description="λ. 0 trains independent networks, selected from the same epochs."
    )
    beta: Annotated[float, LogUniform(0.25, 8)] = Field(2.0, gt=0, description="β of the focal weight ρ.")
    focal_limit: float = Field(10.0, gt=0, description="Maximum of ρ.")
    focal: Literal["sample", "batch"] = Field("sample", description="Unit with one ρ: a frame or a batch.")
    normaliser: Literal["positions", "none"] = Field(
        "positions", description="'positions' divides the squared norm by the number of pairs of positions, d²."
    )
    norm_floor: float = Field(
        0.25, ge=0, description="Minimum divisor of a channel, as a share of the mean norm of the frame's channels."
    )
    warm_up: Annotated[float, Uniform(0, 0.5)] = Field(
        0.2, ge=0, lt=1, description="Share of initial epochs without alignment."
    )
    scored: Literal["mean", "visual", "depth", "thermal"] = Field(
        "mean", description="Modality used for predictions, or the mean of all. Training uses all."
    )


class MTUT(BranchedMethod):
    """ResNet and linear layer per modality with aligned last maps. One modality or the mean predicts."""

    Recipe = MTUTRecipe
    recipe: MTUTRecipe
    card = MethodCard(
        title="MTUT",
        paper="Abavisani, Joze and Patel: Improving the Performance of Unimodal Dynamic Hand-Gesture Recognition with "
        "Multimodal Training, CVPR 2019",
        fidelity=Fidelity.APPROXIMATE,
        deviations=(
            "The paper recognises gestures in clips with 3-D networks. Here ResNets process single frames, positions "
            "are those of the last map in space, and several AUs are detected instead of one class. AMF's paper "
            "reports results of MTUT without such details. Training follows AMF.",
            "Predictions are the mean of the modalities' probabilities, since AMF reports one number for several "
            "modalities. scored=visual, depth or thermal gives the paper's unimodal prediction.",
            "Each channel of a map is normalised to zero mean and unit length over its positions before the "
            "correlation. Channels with less than a quarter of the frame's mean norm are divided by that quarter "
            "(norm_floor), since the gradient of a weakly active channel has no bound otherwise.",
            "The classification loss that determines ρ is a frame's mean over its known AUs. focal=batch uses the mean "
            "over the batch.",
            "ρ and the target correlation are constants, so that the worse network learns from the better one and "
            "not the reverse.",
            "ρ is at most 10 (focal_limit), as the exponential is unbounded.",
            "The squared norm is divided by the number of pairs of positions, since it grows with them and λ does "
            "not. normaliser=none is as printed.",
            "The first fifth of the epochs has no alignment (warm_up), and selection excludes these epochs. The paper "
            "gives no schedule.",
            *TRAINED_ALIKE,
            *ONE_CHANNEL,
        ),
    )

    def __init__(self, task: Task, recipe: MTUTRecipe) -> None:
        super().__init__(task, recipe)
        encoders = {m.value: Encoder(recipe.backbone, m.channels, recipe.weights) for m in task.modalities}
        heads = {m: nn.Linear(encoder.features, len(task.aus)) for m, encoder in encoders.items()}
        self.encoders, self.classifiers = nn.ModuleDict(encoders), nn.ModuleDict(heads)
        self.scored = task.modalities if recipe.scored == "mean" else (Modality(recipe.scored),)

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Return an error message for a single modality, or for a task without the scored modality."""
        if len(task.modalities) == 1:
            return "needs two or more modalities, got one"
        assert isinstance(recipe, MTUTRecipe)
        if recipe.scored not in ("mean", *task.modalities):
            return f"scored={recipe.scored} needs {recipe.scored} images"
        return None

    def encode(self, modality: Modality, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d height width"]:
        """Return the last feature maps of one modality."""
        encoder: Encoder = self.encoders[modality.value]  # type: ignore[assignment]
        return encoder.maps(images)

    def fuse(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """Return AU probabilities of the scored modality, or the mean of all."""
        return torch.stack([self.unimodal_logits(m, features[m]).float().sigmoid() for m in self.scored]).mean(0)

    def forward(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """Return AU probabilities. Encode only scored modalities."""
        return self.fuse({m: self.encode(m, inputs[m]) for m in self.scored})

    def unimodal_logits(self, modality: Modality, maps: Float[Tensor, "n d h w"]) -> Float[Tensor, "n au"]:
        """Return the logits of AUs of one modality."""
        logits: Tensor = self.classifiers[modality.value](maps.mean((2, 3)))
        return logits

    def stages(self) -> Sequence[Stage]:
        """Return one stage. Selection excludes its epochs without alignment."""
        (stage,) = super().stages()
        return (replace(stage, first_selectable_epoch=math.ceil(self.recipe.warm_up * stage.epochs) + 1),)

    def loss_constants(self, stage: Stage, progress: Progress) -> tuple[float]:
        """Return the weight of the alignment."""
        return (self.alignment_weight(progress),)

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """Return Σ_m ℓ^m with ℓ^m = ℓ_cls^m + λ Σ_n ℓ_SSA^{m,n}, each the mean over labelled frames, and its terms."""
        recipe, labels = self.recipe, batch.labels
        labelled = (labels >= 0).any(1)
        maps = {m: self.encode(m, batch.inputs[m]) for m in self.task.modalities}
        frames = {m: torch.vmap(masked_bce_with_logits)(self.unimodal_logits(m, x), labels) for m, x in maps.items()}
        batches = {m: _mean(x, labelled) for m, x in frames.items()}
        alignment = self.alignment(maps, frames if recipe.focal == "sample" else batches)
        weight = self.alignment_weight(progress)
        total, terms = labels.new_zeros((), dtype=torch.float32), {}
        for m, classification in batches.items():
            terms[m.value], terms[f"alignment_{m}"] = classification, _mean(alignment[m], labelled)
            total = total + classification + weight * terms[f"alignment_{m}"]  # ℓ^m
        return {"total": total, **terms}

    def alignment_weight(self, progress: Progress) -> float:
        """Return λ at a step, 0 in the epochs without alignment."""
        recipe = self.recipe
        return recipe.weight_alignment if progress.epoch >= recipe.warm_up * progress.epochs else 0.0

    def alignment(
        self, maps: Mapping[Modality, Float[Tensor, "n c h w"]], losses: Mapping[Modality, Tensor]
    ) -> dict[Modality, Float[Tensor, " n"]]:
        """Return Σ_n ℓ_SSA^{m,n} of each modality m, with ℓ_SSA^{m,n} = ρ^{m,n} ‖corr(F_m) - corr(F_n)‖_F².

        Args:
            maps: Feature maps F.
            losses: ℓ_cls of each frame or of the batch.
        """
        recipe = self.recipe
        corr = {m: correlations(x, recipe.norm_floor) for m, x in maps.items()}
        sums = {m: x.new_zeros(len(x)) for m, x in corr.items()}
        for m, n in itertools.permutations(corr, 2):
            rho = focal_weights(losses[m], losses[n], recipe.beta, recipe.focal_limit)
            distance = misalignment(corr[m], corr[n], per_pair=recipe.normaliser == "positions")
            sums[m] = sums[m] + rho * distance  # ℓ_SSA^{m,n}
        return sums


def _mean(frames: Float[Tensor, " n"], labelled: Bool[Tensor, " n"]) -> Float[Tensor, ""]:
    return (frames * labelled).sum() / labelled.sum().clamp(min=1)
