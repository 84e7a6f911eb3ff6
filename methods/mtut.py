"""MTUT: a network per modality, which learn from each other in training and predict alone."""

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
    masked_bce,
)
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.single_modality import ONE_CHANNEL, TRAINED_ALIKE
from aubench.methods._modules.ssa_loss import correlations, focal_weights, misalignment

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


class MTUTRecipe(BackboneRecipe):
    """Weights of the alignment, and what is scored; ``weight_alignment=0`` trains each network for itself."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {"weight_alignment": 2e-3, "batch_size": 16}}
    """Between maps without structure the normalised ‖·‖² goes with channels / positions²: 25 times as large here. The
    mean of two networks that learn apart takes more steps to say "present" than one that sees both."""

    weight_alignment: Annotated[float, LogUniform(1e-4, 1)] = Field(0.05, ge=0, description="λ.")
    beta: Annotated[float, LogUniform(0.25, 8)] = Field(2.0, gt=0, description="β of the focal weight ρ.")
    focal_limit: float = Field(10.0, gt=0, description="Most that ρ can be.")
    focal: Literal["sample", "batch"] = Field("sample", description="Whether a frame or a batch has a ρ.")
    normaliser: Literal["positions", "none"] = Field(
        "positions", description="'positions' divides the squared norm by the number of pairs of positions, d²."
    )
    warm_up: Annotated[float, Uniform(0, 0.5)] = Field(
        0.2, ge=0, le=1, description="Share of the epochs, at their beginning, without alignment."
    )
    scored: Literal["mean", "visual", "depth", "thermal"] = Field(
        "mean", description="The modality that predicts, or the mean of all; all are trained either way."
    )


class MTUT(BranchedMethod):
    """A ResNet and a linear layer per modality, their last maps aligned; predictions by one, or by the mean."""

    Recipe = MTUTRecipe
    recipe: MTUTRecipe
    card = MethodCard(
        title="MTUT",
        paper="Abavisani, Joze and Patel: Improving the Performance of Unimodal Dynamic Hand-Gesture Recognition with "
        "Multimodal Training, CVPR 2019",
        fidelity=Fidelity.APPROXIMATE,
        deviations=(
            "The paper recognises gestures in clips with 3-D networks; here ResNets see single frames, positions are "
            "those of the last map in space alone, and several AUs are detected instead of one class. So did the "
            "authors of AMF, whose training this is, and who published no more than the result.",
            "Predictions are the mean of the modalities' probabilities, since AMF reports one number for several "
            "modalities; scored=visual, depth or thermal gives the unimodal prediction that the paper is about.",
            "Each channel of a map is brought to zero mean and unit length over its positions before the correlation.",
            "The classification loss that decides ρ is a frame's mean over its known AUs; focal=batch takes the mean "
            "over the batch.",
            "ρ and the correlation that is learned from are constants, so that the worse network follows the better "
            "one and not the reverse.",
            "ρ is at most 10 (focal_limit), as the exponential has no bound.",
            "The squared norm is divided by the number of pairs of positions, since it grows with them and λ does "
            "not; normaliser=none is as printed.",
            "The first fifth of the epochs has no alignment (warm_up), and none of them is chosen; the paper gives no "
            "schedule.",
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
        """Refuse a single modality, and a recipe that scores one that is not there."""
        if len(task.modalities) == 1:
            return "aligns two or three modalities, and there is one"
        assert isinstance(recipe, MTUTRecipe)
        if recipe.scored not in ("mean", *task.modalities):
            return f"scored={recipe.scored} needs {recipe.scored} images"
        return None

    def encode(self, modality: Modality, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d height width"]:
        """The last maps of one modality."""
        encoder: Encoder = self.encoders[modality.value]  # type: ignore[assignment]
        return encoder.maps(images)

    def fuse(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """AU probabilities of the modality that is scored, or the mean of all."""
        return torch.stack([self.alone(m, features[m]) for m in self.scored]).mean(0)

    def forward(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """Encode what is scored, and nothing else."""
        return self.fuse({m: self.encode(m, inputs[m]) for m in self.scored})

    def alone(self, modality: Modality, maps: Float[Tensor, "n d h w"]) -> Float[Tensor, "n au"]:
        """AU probabilities by one modality."""
        logits: Tensor = self.classifiers[modality.value](maps.mean((2, 3)))
        return logits.float().sigmoid()

    def stages(self) -> Sequence[Stage]:
        """One stage, of which validation chooses no epoch without alignment."""
        (stage,) = super().stages()
        return (replace(stage, first_selectable_epoch=math.ceil(self.recipe.warm_up * stage.epochs) + 1),)

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """The sum over modalities m of ℓ^m = ℓ_cls^m + λ Σ_n ℓ_SSA^{m,n}, each the mean of the labelled frames."""
        recipe, labels = self.recipe, batch.labels
        labelled = (labels >= 0).any(1)
        maps = {m: self.encode(m, batch.inputs[m]) for m in self.task.modalities}
        frames = {m: torch.vmap(masked_bce)(self.alone(m, x), labels) for m, x in maps.items()}
        batches = {m: _mean(x, labelled) for m, x in frames.items()}
        alignment = self.alignment(maps, frames if recipe.focal == "sample" else batches)
        weight = recipe.weight_alignment if progress.epoch >= recipe.warm_up * progress.epochs else 0.0
        total, terms = labels.new_zeros((), dtype=torch.float32), {}
        for m, classification in batches.items():
            terms[m.value], terms[f"alignment_{m}"] = classification, _mean(alignment[m], labelled)
            total = total + classification + weight * terms[f"alignment_{m}"]  # ℓ^m
        return {"total": total, **terms}

    def alignment(
        self, maps: Mapping[Modality, Float[Tensor, "n c h w"]], losses: Mapping[Modality, Tensor]
    ) -> dict[Modality, Float[Tensor, " n"]]:
        """Σ_n ℓ_SSA^{m,n} of each modality m, with ℓ_SSA^{m,n} = ρ^{m,n} ‖corr(F_m) - corr(F_n)‖_F².

        Args:
            maps: F.
            losses: ℓ_cls, of each frame or of the batch.
        """
        recipe = self.recipe
        seen = {m: correlations(x) for m, x in maps.items()}
        sums = {m: x.new_zeros(len(x)) for m, x in seen.items()}
        for m, n in itertools.permutations(seen, 2):
            rho = focal_weights(losses[m], losses[n], recipe.beta, recipe.focal_limit)
            far = misalignment(seen[m], seen[n], per_pair=recipe.normaliser == "positions")
            sums[m] = sums[m] + rho * far  # ℓ_SSA^{m,n}
        return sums


def _mean(frames: Float[Tensor, " n"], labelled: Bool[Tensor, " n"]) -> Float[Tensor, ""]:
    return (frames * labelled).sum() / labelled.sum().clamp(min=1)
