# Installed as aubench.methods.temt_net.
"""TEMT-Net: multi-task learning of AUs, facial landmarks and another modality's images from visual images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from aubench import (
    OUTER_EYE_CORNERS,
    AnyRecipe,
    Batch,
    Fidelity,
    Inputs,
    LogUniform,
    MethodCard,
    Modality,
    Progress,
    Stage,
    Task,
    masked_bce_with_logits,
)
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.method_bases import ConstantLoss
from aubench.methods._modules.missing_modality import is_present
from aubench.methods._modules.single_modality import TRAINED_ALIKE

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

HALVINGS = 5
"""Number of times a ResNet halves the size of its images, rounding up."""

MIN_EYE_DISTANCE = 0.1
"""Minimum distance of the outer eye corners in landmark coordinates, for faces in profile."""


class TEMTNetRecipe(BackboneRecipe):
    """Hyper-parameters of TEMT-Net: weights of the three tasks."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small": {"learning_rate": 1e-2}}

    weight_au: float = Field(1.0, gt=0, description="Weight of AU detection.")
    weight_generation: Annotated[float, LogUniform(0.01, 10)] = Field(
        1.0, ge=0, description="Weight of generating the other modality's image."
    )
    weight_landmarks: Annotated[float, LogUniform(0.01, 10)] = Field(
        0.5, ge=0, description="Weight of landmark detection, used if the store has landmarks."
    )


class Decoder(nn.Sequential):
    """Decoder of feature maps to an image. Each step reverts one halving of the encoder.

    Args:
        features: Channels of the maps. Each step except the last halves them.
        channels: Channels of the image.
        size: Height and width of the image.
    """

    def __init__(self, features: int, channels: int, size: int) -> None:
        sizes = [-(-size // 2**k) for k in reversed(range(HALVINGS))]
        widths = [features // 2**k for k in range(HALVINGS)]
        steps: list[nn.Module] = []
        for side, width, next_width in zip(sizes, widths, widths[1:], strict=False):
            steps += [nn.Upsample(side), nn.Conv2d(width, next_width, 3, padding=1, bias=False)]
            steps += [nn.BatchNorm2d(next_width), nn.ReLU()]
        super().__init__(*steps, nn.Upsample(size), nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Tanh())


class TEMTNet(ConstantLoss):
    """ResNet on visual images with a classifier, and a decoder and a landmark regressor used in training."""

    Recipe = TEMTNetRecipe
    recipe: TEMTNetRecipe
    needs_landmarks = True
    card = MethodCard(
        title="TEMT-Net",
        paper="Liu, Zhang, Yang and Yin: Multi-Modality Empowered Network for Facial Action Unit Detection, WACV 2019",
        fidelity=Fidelity.APPROXIMATE,
        deviations=(
            "The implementation follows the abstract, which names the three tasks. All layers, losses and weights are "
            "our choices.",
            *TRAINED_ALIKE,
            "All tasks share a ResNet-18 on visual images. AU detection is one linear layer on its pooled features.",
            "The decoder reverts the encoder's five halvings with nearest-neighbour upsampling and a convolution each. "
            "Its loss is L1. The loss excludes frames with a black or zero target image.",
            "Landmark detection is one linear layer on the pooled features with a smooth L1 loss in units of the "
            "distance of the outer eye corners, at least a twentieth of the image's width. The loss excludes frames "
            "without landmarks.",
            "There is no adversarial loss, as the abstract names none.",
            "The decoder generates depth if depth is the other modality, as in AMF's comparison.",
        ),
    )

    def __init__(self, task: Task, recipe: TEMTNetRecipe) -> None:
        super().__init__(task, recipe)
        self.encoder = Encoder(recipe.backbone, Modality.VISUAL.channels, recipe.weights)
        self.classifier = nn.Linear(self.encoder.features, len(task.aus))
        (self.target,) = (m for m in task.modalities if m is not Modality.VISUAL)
        if recipe.weight_generation:
            self.decoder = Decoder(self.encoder.features, self.target.channels, task.image_size)
        if recipe.weight_landmarks and task.landmarks:
            self.regressor = nn.Linear(self.encoder.features, 2 * task.landmarks)

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Return an error message unless the modalities are visual and one other."""
        if Modality.VISUAL not in task.modalities:
            return "needs visual images"
        if len(task.modalities) == 1:
            return "needs a second modality, got one"
        others = len(task.modalities) - 1
        return None if others == 1 else f"generates exactly one other modality, and the task has {others}"

    def forward(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """Return AU probabilities of the visual images."""
        logits: Tensor = self.classifier(self.encoder(inputs[Modality.VISUAL]))
        return logits.float().sigmoid()

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """Return the weighted sum of the enabled tasks' losses, and each loss."""
        recipe = self.recipe
        maps = self.encoder.maps(batch.inputs[Modality.VISUAL])
        features = maps.mean((2, 3))
        terms = {"au": masked_bce_with_logits(self.classifier(features), batch.labels)}
        total = recipe.weight_au * terms["au"]
        if recipe.weight_generation:
            terms["generation"] = image_loss(self.decoder(maps), batch.inputs[self.target])
            total = total + recipe.weight_generation * terms["generation"]
        if recipe.weight_landmarks and batch.landmarks is not None:
            landmarks = self.regressor(features).unflatten(1, (-1, 2))
            terms["landmarks"] = landmark_loss(landmarks, batch.landmarks)
            total = total + recipe.weight_landmarks * terms["landmarks"]
        return {"total": total, **terms}


def image_loss(predicted: Float[Tensor, "n c h w"], target: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
    """Return the L1 loss over the frames with a target image.

    Args:
        predicted: Images in [-1, 1].
        target: Images in [-1, 1]. All pixels are black or zero in frames without an image.

    Returns:
        The mean over pixels and channels, or 0 if no frame has an image.
    """
    present = is_present(target)
    errors = (predicted.float() - target).abs().flatten(1).mean(1)
    return (errors * present).sum() / present.sum().clamp(min=1)


def landmark_loss(predicted: Float[Tensor, "n l 2"], target: Float[Tensor, "n l 2"]) -> Float[Tensor, ""]:
    """Return the smooth L1 loss in units of the distance of the outer eye corners.

    Args:
        predicted: Columns and rows.
        target: Columns and rows, NaN if unknown. The loss excludes frames without outer eye corners.

    Returns:
        The mean over known coordinates, or 0 if none is known.
    """
    left, right = (target[:, corner] for corner in OUTER_EYE_CORNERS)
    unit = (right - left).square().sum(-1).sqrt().clamp(min=MIN_EYE_DISTANCE)[:, None, None]
    known = target.isfinite() & unit.isfinite()
    errors = torch.where(known, predicted.float() - target, 0.0) / unit.nan_to_num(1.0)
    terms = functional.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="sum")
    return terms / known.sum().clamp(min=1)
