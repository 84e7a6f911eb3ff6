"""TEMT-Net: one visual encoder learns AUs, facial points, and to draw what another sensor saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
    Method,
    MethodCard,
    Modality,
    Progress,
    Stage,
    Task,
    masked_bce,
)
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.missing_modality import is_present
from aubench.methods._modules.single_modality import TRAINED_ALIKE

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

HALVINGS = 5
"""How often a ResNet halves its images, rounding up."""

LEAST_EYE_DISTANCE = 0.1
"""Of the outer eye corners, as points are measured; a face in profile counts as if it had it."""


class TEMTNetRecipe(BackboneRecipe):
    """Weights of the three tasks."""

    weight_au: float = Field(1.0, gt=0, description="Of AU detection.")
    weight_generation: Annotated[float, LogUniform(0.01, 10)] = Field(
        1.0, ge=0, description="Of drawing the other modality's image."
    )
    weight_landmarks: Annotated[float, LogUniform(0.01, 10)] = Field(
        0.5, ge=0, description="Of finding facial points, where the store has them."
    )


class Decoder(nn.Sequential):
    """Feature maps to an image, each step undoing one halving of the encoder.

    Args:
        features: Channels of the maps; each step but the last halves them.
        channels: Of the image.
        size: Height and width of the image.
    """

    def __init__(self, features: int, channels: int, size: int) -> None:
        sizes = [-(-size // 2**k) for k in reversed(range(HALVINGS))]
        widths = [features // 2**k for k in range(HALVINGS)]
        steps: list[nn.Module] = []
        for side, width, narrower in zip(sizes, widths, widths[1:], strict=False):
            steps += [nn.Upsample(side), nn.Conv2d(width, narrower, 3, padding=1, bias=False)]
            steps += [nn.BatchNorm2d(narrower), nn.ReLU()]
        super().__init__(*steps, nn.Upsample(size), nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Tanh())


class TEMTNet(Method):
    """A ResNet on visual images with a classifier, which alone predicts, a decoder, and a regressor of points."""

    Recipe = TEMTNetRecipe
    recipe: TEMTNetRecipe
    needs_landmarks = True
    card = MethodCard(
        title="TEMT-Net",
        paper="Liu, Zhang, Yang and Yin: Multi-Modality Empowered Network for Facial Action Unit Detection, WACV 2019",
        fidelity=Fidelity.APPROXIMATE,
        deviations=(
            "Only the abstract could be read, which names the three tasks; all layers, losses and weights are ours.",
            *TRAINED_ALIKE,
            "All tasks share a ResNet-18 on visual images; AUs are one linear layer on its pooled features.",
            "The decoder undoes the encoder's five halvings, each by nearest-neighbour upsampling and a convolution; "
            "its image is compared by L1. Frames whose other image is black all over, or zero, have none and count "
            "nowhere.",
            "Points are one linear layer on the pooled features, compared by smooth L1 in units of the distance of the "
            "outer eye corners, a twentieth of the image's width at least, and left out where the store has none.",
            "There is no adversarial term: the abstract names none, and it would need an optimiser of its own.",
            "It draws depth where that is the other modality, as AMF's authors did when they compared with it.",
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
        """Refuse all but visual and one other."""
        if Modality.VISUAL not in task.modalities:
            return "sees visual images, and there are none"
        if len(task.modalities) == 1:
            return "learns to draw a second modality, and there is none"
        return None if len(task.modalities) == 2 else "draws one modality out of visual images, and there are two more"

    def forward(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """AU probabilities by the visual images alone."""
        logits: Tensor = self.classifier(self.encoder(inputs[Modality.VISUAL]))
        return logits.float().sigmoid()

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """The weighted sum of the tasks that are on, with each beside it."""
        recipe = self.recipe
        maps = self.encoder.maps(batch.inputs[Modality.VISUAL])
        features = maps.mean((2, 3))
        terms = {"au": masked_bce(self.classifier(features).float().sigmoid(), batch.labels)}
        total = recipe.weight_au * terms["au"]
        if recipe.weight_generation:
            terms["generation"] = image_distance(self.decoder(maps), batch.inputs[self.target])
            total = total + recipe.weight_generation * terms["generation"]
        if recipe.weight_landmarks and batch.landmarks is not None:
            points = self.regressor(features).unflatten(1, (-1, 2))
            terms["landmarks"] = points_distance(points, batch.landmarks)
            total = total + recipe.weight_landmarks * terms["landmarks"]
        return {"total": total, **terms}


def image_distance(drawn: Float[Tensor, "n c h w"], wanted: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
    """L1 over the frames that have an image.

    Args:
        drawn: In [-1, 1].
        wanted: In [-1, 1]; black all over, or zero, where the frame has no such image.

    Returns:
        The mean over pixels and channels; 0 where no frame has an image.
    """
    there = is_present(wanted)
    errors = (drawn.float() - wanted).abs().flatten(1).mean(1)
    return (errors * there).sum() / there.sum().clamp(min=1)


def points_distance(found: Float[Tensor, "n l 2"], wanted: Float[Tensor, "n l 2"]) -> Float[Tensor, ""]:
    """Smooth L1 in units of the inter-ocular distance.

    Args:
        found: Columns and rows.
        wanted: The same, NaN where unknown; a frame without its outer eye corners counts nowhere.

    Returns:
        The mean over known coordinates; 0 where none is known.
    """
    left, right = (wanted[:, corner] for corner in OUTER_EYE_CORNERS)
    unit = (right - left).square().sum(-1).sqrt().clamp(min=LEAST_EYE_DISTANCE)[:, None, None]
    known = wanted.isfinite() & unit.isfinite()
    errors = torch.where(known, found.float() - wanted, 0.0) / unit.nan_to_num(1.0)
    terms = functional.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="sum")
    return terms / known.sum().clamp(min=1)
