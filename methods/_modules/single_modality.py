# Installed as aubench.methods._modules.single_modality.
"""Base class of the ResNets on one modality, and deviations that several methods share."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import nn

from aubench import AnyRecipe, Inputs, Modality, Task
from aubench.methods._modules.backbones import BackboneRecipe, Encoder
from aubench.methods._modules.method_bases import LogitMethod

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

PAPER = "Yang, Wang and Yin: Adaptive Multimodal Fusion for Facial Action Units Recognition, ACM MM 2020"

DEVIATIONS = (
    "Early stopping uses F1 on validation subjects with a patience of 10 epochs and at most 30 epochs. The paper gives "
    "neither a criterion nor a number of epochs.",
    "Initial weights are torchvision's first ImageNet release. The paper does not specify them.",
    "With ImageNet weights, the encoder converts images from [-1, 1] to ImageNet's mean and standard deviation.",
)
"""Deviations shared by all ResNet methods of that paper."""

TRAINED_ALIKE = (
    "Training equals that of AMF's baselines: Adam with 1e-4, batches of 50, at most 30 epochs, early stopping by F1 "
    "on validation subjects with a patience of 10, and torchvision's first ImageNet weights with ImageNet's mean and "
    "standard deviation.",
)
"""Deviation of methods whose original training is unknown or served another task."""

ONE_CHANNEL = (
    "For one-channel images, the first layer has the mean of the RGB weights times three, and normalisation uses the "
    "mean of the RGB statistics. The paper does not specify this adaptation.",
)
"""Deviation of methods with encoders of one-channel images."""


class SingleModality(LogitMethod):
    """ResNet on one modality, global average pooling, one linear layer, sigmoid."""

    modality: ClassVar[Modality]
    Recipe = BackboneRecipe
    recipe: BackboneRecipe

    def __init__(self, task: Task, recipe: BackboneRecipe) -> None:
        super().__init__(task, recipe)
        self.encoder = Encoder(recipe.backbone, self.modality.channels, recipe.weights)
        self.classifier = nn.Linear(self.encoder.features, len(task.aus))

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Return an error message for a task without the modality."""
        return None if cls.modality in task.modalities else f"needs {cls.modality} images"

    @classmethod
    def select_modalities(cls, task: Task, recipe: AnyRecipe) -> tuple[Modality, ...]:
        """Return the method's modality."""
        return (cls.modality,)

    def forward_logits(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """Return the logits of AUs."""
        logits: Tensor = self.classifier(self.encoder(inputs[self.modality]))
        return logits
