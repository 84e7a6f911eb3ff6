"""A ResNet on one modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import nn

from aubench import AnyRecipe, Inputs, Method, Modality, Task
from aubench.methods._modules.backbones import BackboneRecipe, Encoder

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

PAPER = "Yang, Wang and Yin: Adaptive Multimodal Fusion for Facial Action Units Recognition, ACM MM 2020"

DEVIATIONS = (
    "Early stopping is by F1 on validation subjects with a patience of 10 epochs, after 30 at most: the paper gives no "
    "criterion and no number of epochs.",
    "First weights are ImageNet's (torchvision's first release): the paper does not say which.",
    "With ImageNet weights, images in [-1, 1] are brought to ImageNet's mean and standard deviation in the encoder.",
)
"""What every ResNet of that paper leaves open."""

TRAINED_ALIKE = (
    "Trained as AMF's baselines are here: Adam with 1e-4, batches of 50, at most 30 epochs, early stopping by F1 on "
    "validation subjects with a patience of 10, ImageNet's first weights (torchvision's first release) with its mean "
    "and standard deviation.",
)
"""What is told of methods whose own training is unknown or was for something else."""

ONE_CHANNEL = (
    "One-channel images meet a first layer with the mean of the RGB weights times three, and the mean of the RGB "
    "statistics: the paper does not say how they enter a ResNet.",
)


class SingleModality(Method):
    """ResNet, global average pooling, one linear layer, sigmoid."""

    modality: ClassVar[Modality]
    Recipe = BackboneRecipe
    recipe: BackboneRecipe

    def __init__(self, task: Task, recipe: BackboneRecipe) -> None:
        super().__init__(task, recipe)
        self.encoder = Encoder(recipe.backbone, self.modality.channels, recipe.weights)
        self.classifier = nn.Linear(self.encoder.features, len(task.aus))

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Refuse a task without the one modality."""
        return None if cls.modality in task.modalities else f"needs {cls.modality} images"

    @classmethod
    def select_modalities(cls, task: Task, recipe: AnyRecipe) -> tuple[Modality, ...]:
        """The one modality."""
        return (cls.modality,)

    def forward(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """AU probabilities."""
        logits: Tensor = self.classifier(self.encoder(inputs[self.modality]))
        return logits.float().sigmoid()
