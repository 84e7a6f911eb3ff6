"""Base classes of methods, and the types of their training stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from aubench.core import method_hooks
from aubench.core.errors import MethodError
from aubench.core.losses import masked_bce, masked_bce_with_logits
from aubench.core.recipe import Recipe
from aubench.core.task import Batch, Inputs, Modality, Task

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


class Fidelity(StrEnum):
    """Agreement of a method with its paper."""

    EXACT = "exact"
    RESOLVED = "paper-with-resolutions"
    APPROXIMATE = "approximate"


@dataclass(frozen=True)
class MethodCard:
    """Description of a method for readers of the leaderboard.

    Attributes:
        title: Full name.
        paper: Citation of its source.
        fidelity: Agreement of the implementation with the paper.
        deviations: Decisions on points where the paper is silent, wrong or not followed. One sentence each.
    """

    title: str
    paper: str
    fidelity: Fidelity
    deviations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError if the fidelity is no :class:`Fidelity`."""
        object.__setattr__(self, "fidelity", Fidelity(self.fidelity))


AnyRecipe = Recipe
"""Type of any recipe, for annotations in classes that have an attribute named ``Recipe``."""


@dataclass(frozen=True)
class Stage:
    """A phase of a method's training.

    Attributes:
        name: Name in logs and checkpoints.
        epochs: Maximum number of epochs.
        batch_size: Frames per step, or clips per step for methods of clips.
        patience: Epochs without a better validation F1 before the stage ends. Pre-training ignores it.
        frames_per_epoch: Frames drawn per epoch; all if None.
        pretraining: Train on all frames of the training role, coded or not, with all labels hidden. Such a stage has no
            validation and returns its last weights. It precedes the supervised stages.
        include_all_subjects: Pre-train on all subjects, including those of validation and test, as some papers do. The
            record names them.
        held_out: Share of the frames that pre-training leaves out, drawn at random and the same for all seeds.
        first_selectable_epoch: First epoch, from 1, that validation may select. Earlier ones are a warm-up.
    """

    name: str
    epochs: int
    batch_size: int
    patience: int = 1
    frames_per_epoch: int | None = None
    pretraining: bool = False
    include_all_subjects: bool = False
    held_out: float = 0.0
    first_selectable_epoch: int = 1


@dataclass(frozen=True)
class Progress:
    """Position in a stage.

    Attributes:
        epoch: Current epoch, from 0.
        epochs: Maximum number of epochs of the stage.
        step: Current step of the epoch, from 0.
        steps: Steps per epoch.
    """

    epoch: int
    epochs: int
    step: int
    steps: int

    @property
    def fraction(self) -> float:
        """Fraction of the stage's steps that are complete, in [0, 1)."""
        return (self.epoch + self.step / self.steps) / self.epochs


class Method(nn.Module, ABC):
    """A fusion method that maps images of some modalities to AU probabilities.

    The harness normalises, augments, masks and scores. :meth:`loss` receives batches of the training role, and
    :meth:`forward` receives images only.

    Args:
        task: Task with the modalities that :meth:`select_modalities` returned.
        recipe: Instance of the class's ``Recipe``.
    """

    Recipe: ClassVar[type[Recipe]] = Recipe
    card: ClassVar[MethodCard]
    needs_landmarks: ClassVar[bool] = False
    """Whether training batches include facial points, if the store has them."""

    task: Task
    recipe: AnyRecipe

    def __init__(self, task: Task, recipe: AnyRecipe) -> None:
        super().__init__()
        self.task, self.recipe = task, recipe

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Return the reason why the method with this recipe does not support a task, or None if it does."""
        return None

    @classmethod
    def select_modalities(cls, task: Task, recipe: AnyRecipe) -> tuple[Modality, ...]:
        """Return the subset of the task's modalities that the method uses, in the task's order."""
        return task.modalities

    def stages(self) -> Sequence[Stage]:
        """Return the stages of training, in order. The default is one supervised stage."""
        recipe = self.recipe
        return (Stage("train", recipe.epochs, recipe.batch_size, recipe.patience, recipe.frames_per_epoch),)

    def on_train_labels(self, labels: Sequence[Int[Tensor, "frames au"]]) -> None:
        """Receive the training labels once, before the first supervised stage, e.g. to compute class weights.

        Store the results in buffers, so that they are saved with the weights.

        Args:
            labels: Labels of each run of consecutive frames, in order of time: 1 present, 0 absent, -1 unknown.
        """

    def extra_clip_spans(self, labels: Int[Tensor, "frames au"]) -> Sequence[tuple[int, int]]:
        """Return parts of a training sequence from which additional clips are drawn, for methods of clips.

        The last clip of a part is padded with its last frame, unlabelled.

        Args:
            labels: Labels of consecutive frames of the sequence, in order of time. Missing frames end a run.

        Returns:
            Start and end (exclusive) of each part.
        """
        return ()

    def optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        """Return the optimiser of a stage. The default is fused Adam with the recipe's learning rate."""
        if next(self.parameters(), None) is None:
            hint = "keep layers as attributes or in nn.ModuleList and nn.ModuleDict, not in a list or dict"
            raise MethodError("has no parameter to train", where=type(self).__name__, hint=hint)
        recipe = self.recipe
        return torch.optim.Adam(
            self.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )

    def learning_rate_factor(self, stage: Stage, progress: Progress) -> float:
        """Return the factor of the learning rates at a step.

        The default is the recipe's schedule, and 1 in pre-training, on which the schedule has no influence.
        """
        if stage.pretraining or self.recipe.learning_rate_schedule == "constant":
            return 1.0
        return min(progress.fraction / 0.25, (1 - progress.fraction) / 0.75)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Augment a training batch, in addition to the crop and flip of every method.

        Args:
            batch: Cropped, flipped and normalised batch.
            generator: CPU generator for all randomness of this function.
        """
        return batch

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """Compute named terms of the training loss. ``total`` is minimised, and all terms are logged.

        The default is the cross-entropy of :meth:`forward_logits`, or of :meth:`forward` if the method has no logits.
        """
        logits = self.forward_logits(batch.inputs)
        if logits is not None:
            return {"total": masked_bce_with_logits(logits, batch.labels)}
        return {"total": masked_bce(self(batch.inputs), batch.labels)}

    def loss_constants(self, stage: Stage, progress: Progress) -> Hashable | None:
        """Return the values that :meth:`loss` computes from ``progress``, e.g. a temperature, and ``()`` if none.

        While they remain equal, an NVIDIA GPU repeats the operations of the loss and its gradients without Python, by a
        CUDA graph. Therefore the loss must depend on nothing else in Python: its randomness comes from PyTorch's
        generator, on the device. The default is None: Python computes each step.
        """
        return None

    def forward_logits(self, inputs: Inputs) -> Float[Tensor, "*n au"] | None:
        """Return the logits of the probabilities of :meth:`forward`, for the default loss.

        The default is None: the default loss then takes probabilities, which lose the gradient of certain answers.
        """
        return None

    @abstractmethod
    def forward(self, inputs: Inputs) -> Float[Tensor, "*n au"]:
        """Predict AU probabilities in [0, 1] from images in [-1, 1]. A missing modality is all zeros.

        Images are (N, C, H, W) and probabilities (N, A). If the recipe has a ``clip_length`` T, they are
        (N, T, C, H, W) and (N, T, A).
        """


class BranchedMethod(Method):
    """A method with one encoder per modality, followed by a fusion.

    A robustness suite then encodes only the modalities that a condition changes, and FLOPs are reported per part.
    """

    @abstractmethod
    def encode(self, modality: Modality, images: Float[Tensor, "n c h w"]) -> Tensor:
        """Compute the features of one modality."""

    @abstractmethod
    def fuse(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """Predict AU probabilities from the features of all modalities."""

    def forward(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """Encode each modality and fuse."""
        return self.fuse({m: self.encode(m, inputs[m]) for m in self.task.modalities})


BUILTIN_PACKAGE = "aubench.methods."
_FRAMES = 2


def build_method(method_class: type[Method], task: Task, recipe: Recipe) -> Method:
    """Build a method with all of its parameters, also those that it creates in the first forward pass.

    Methods that are not built in, and those with lazy modules, predict images of zeros once. Afterwards, the global
    generator has the state that the constructor left.

    Args:
        method_class: Class of the method.
        task: Task with the modalities that the method uses.
        recipe: Hyper-parameters.

    Raises:
        MethodError: The stages cannot be trained, or a lazy parameter has no shape after the forward pass.
    """
    method = method_class(task, recipe)
    method_hooks.require_stages(method)
    if method_class.__module__.startswith(BUILTIN_PACKAGE) and not any(map(is_lazy, method.parameters())):
        return method
    lead = (_FRAMES,) if recipe.clip_length is None else (_FRAMES, recipe.clip_length)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), suppress(Exception):  # training would show the error
        method.eval()({m: torch.zeros(*lead, m.channels, task.image_size, task.image_size) for m in task.modalities})
    for name, parameter in method.named_parameters():
        if is_lazy(parameter):
            raise MethodError(
                f"parameter '{name}' has no shape after a forward pass",
                where=method_class.__name__,
                hint="use each lazy module in forward, or give its size",
            )
    return method.train()
