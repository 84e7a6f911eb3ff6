# Installed as aubench.methods._modules.method_bases.
"""Base classes of methods: losses without constants, several modalities, and probabilities from logits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from aubench import AnyRecipe, BranchedMethod, Inputs, Method, Modality, Progress, Stage, Task

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class ConstantLoss(Method):
    """Method whose loss does not depend on the progress."""

    def loss_constants(self, stage: Stage, progress: Progress) -> tuple[()]:
        """Return no values."""
        return ()


class SeveralModalities(Method):
    """Method that fuses modalities."""

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Return an error message for a task with a single modality."""
        return None if len(task.modalities) > 1 else "needs two or more modalities, got one"


class LogitMethod(ConstantLoss):
    """Method whose probabilities are the sigmoid of its logits."""

    def forward(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """Return AU probabilities."""
        return cast("Tensor", self.forward_logits(inputs)).float().sigmoid()


class LogitFusion(ConstantLoss, BranchedMethod):
    """The same with one encoder per modality."""

    @abstractmethod
    def fuse_logits(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """Return the logits of AUs from the features of all modalities."""

    def fuse(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """Return AU probabilities."""
        return self.fuse_logits(features).float().sigmoid()

    def forward_logits(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """Return the logits of AUs."""
        return self.fuse_logits({m: self.encode(m, inputs[m]) for m in self.task.modalities})
