"""The contract of a method: what the harness calls, and what an author writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from aubench.core.recipe import Recipe
from aubench.core.task import Batch, Inputs, Modality, Task

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


class Fidelity(StrEnum):
    """How close a method is to its paper."""

    EXACT = "exact"
    RESOLVED = "paper-with-resolutions"
    APPROXIMATE = "approximate"


@dataclass(frozen=True)
class MethodCard:
    """What a reader of the leaderboard should know of a method.

    Attributes:
        title: Its name in full.
        paper: Where it comes from.
        fidelity: How close this is to the paper.
        departures: Where the paper is silent, wrong or left, and what is done here; one sentence each.
    """

    title: str
    paper: str
    fidelity: Fidelity
    deviations: tuple[str, ...] = ()


AnyRecipe = Recipe
"""The type of any recipe, for where a class has an attribute of the name ``Recipe``."""


@dataclass(frozen=True)
class Stage:
    """One phase of a method's training.

    Attributes:
        name: For logs and checkpoints.
        epochs: Most epochs.
        batch_size: Frames a step; clips, where the method takes clips.
        patience: Epochs without a better validation F1 before it ends; a pre-training stage has none.
        frames_per_epoch: Frames drawn for an epoch; all when None.
        pretraining: Its batches are drawn from every frame of the training role, coded or not, with all labels
            hidden; nothing is validated, and the last weights stay. Comes before the supervised stages.
        everyone: A pre-training stage that draws from all subjects, those of validation and test included, as some
            papers do; the record says so.
        eligible: The first epoch, from 1, that validation may choose; those before it only prepare.
    """

    name: str
    epochs: int
    batch_size: int
    patience: int = 1
    frames_per_epoch: int | None = None
    pretraining: bool = False
    include_all_subjects: bool = False
    first_selectable_epoch: int = 1


@dataclass(frozen=True)
class Progress:
    """How far a stage has come.

    Attributes:
        epoch: This epoch, from 0.
        epochs: Most epochs of the stage.
        step: This step of the epoch, from 0.
        steps: Steps an epoch.
    """

    epoch: int
    epochs: int
    step: int
    steps: int

    @property
    def fraction(self) -> float:
        """Share of the stage's steps that are done, 0 to below 1."""
        return (self.epoch + self.step / self.steps) / self.epochs


def masked_bce(probabilities: Float[Tensor, "*n au"], labels: Int[Tensor, "*n au"]) -> Float[Tensor, ""]:
    """Binary cross-entropy over the known labels (AMF eq. 7, averaged over frames and AUs).

    Args:
        probabilities: In [0, 1].
        labels: 1 present, 0 absent, -1 unknown; unknown ones count nowhere.

    Returns:
        The mean over known labels; 0 where none is known.
    """
    known = labels >= 0
    chance = probabilities.float().clamp(1e-7, 1 - 1e-7)
    terms = torch.where(labels > 0, chance.log(), (1 - chance).log())
    return -(terms * known).sum() / known.sum().clamp(min=1)


class Method(nn.Module, ABC):
    """A fusion method: images of some modalities in, AU probabilities out.

    The harness normalises, augments, masks and scores; a method only models. It sees batches of the
    training role through :meth:`loss`, and nothing but images through :meth:`forward`.

    Args:
        task: Its modalities are those that :meth:`select_modalities` chose.
        recipe: An instance of the class's ``Recipe``.
    """

    Recipe: ClassVar[type[Recipe]] = Recipe
    card: ClassVar[MethodCard]
    needs_landmarks: ClassVar[bool] = False
    """Whether training batches shall come with facial points, where the store has them."""

    task: Task
    recipe: AnyRecipe

    def __init__(self, task: Task, recipe: AnyRecipe) -> None:
        super().__init__()
        self.task, self.recipe = task, recipe

    @classmethod
    def unsupported_reason(cls, task: Task, recipe: AnyRecipe) -> str | None:
        """Why this method with this recipe cannot do a task; None when it can."""
        return None

    @classmethod
    def select_modalities(cls, task: Task, recipe: AnyRecipe) -> tuple[Modality, ...]:
        """The modalities it wants out of those a task offers."""
        return task.modalities

    def stages(self) -> Sequence[Stage]:
        """The phases of its training, in order; one supervised stage by default."""
        recipe = self.recipe
        return (Stage("train", recipe.epochs, recipe.batch_size, recipe.patience, recipe.frames_per_epoch),)

    def on_train_labels(self, labels: Sequence[Int[Tensor, "frames au"]]) -> None:
        """Look at the training role's labels once, before the first supervised stage: rates, co-occurrences.

        What is kept belongs into buffers, so that it is saved with the weights.

        Args:
            labels: Of each run of consecutive frames, in order of time: 1 present, 0 absent, -1 unknown.
        """

    def extra_clip_spans(self, labels: Int[Tensor, "frames au"]) -> Sequence[tuple[int, int]]:
        """Parts of a training sequence that clips are drawn from besides its whole; for methods that take clips.

        What is left of the last clip of a part is filled with its last frame, unlabelled.

        Args:
            labels: Of consecutive frames of the sequence, in order of time; frames that lack end a run of them.

        Returns:
            First frame and the one after the last.
        """
        return ()

    def optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        """The optimiser of a stage; Adam with the recipe's learning rate by default."""
        return torch.optim.Adam(self.parameters(), lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay)

    def learning_rate_factor(self, stage: Stage, progress: Progress) -> float:
        """What the optimiser's learning rates are multiplied by at a step; the recipe's schedule by default."""
        if self.recipe.learning_rate_schedule == "constant":
            return 1.0
        return min(progress.fraction / 0.25, (1 - progress.fraction) / 0.75)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Change a training batch, beyond the crop and flip that every method gets.

        Args:
            batch: Cropped, flipped and normalised.
            generator: The source of all randomness here; lives on the CPU.
        """
        return batch

    def loss(self, batch: Batch, stage: Stage, progress: Progress) -> dict[str, Tensor]:
        """Named terms of the training loss; ``total`` is minimised, the rest is logged."""
        return {"total": masked_bce(self(batch.inputs), batch.labels)}

    @abstractmethod
    def forward(self, inputs: Inputs) -> Float[Tensor, "*n au"]:
        """AU probabilities in [0, 1] of images in [-1, 1]; a zeroed modality is a missing one.

        Images are (N, C, H, W) and probabilities (N, A); where the recipe has a ``clip_length`` T, they are
        (N, T, C, H, W) and (N, T, A).
        """


class BranchedMethod(Method):
    """One encoder per modality, then a fusion.

    The split lets a robustness suite encode again only what a condition changed, and shows where the
    FLOPs go.
    """

    @abstractmethod
    def encode(self, modality: Modality, images: Float[Tensor, "n c h w"]) -> Tensor:
        """Features of one modality."""

    @abstractmethod
    def fuse(self, features: Mapping[Modality, Tensor]) -> Float[Tensor, "n au"]:
        """AU probabilities from the features of all modalities."""

    def forward(self, inputs: Inputs) -> Float[Tensor, "n au"]:
        """Encode each modality and fuse."""
        return self.fuse({m: self.encode(m, inputs[m]) for m in self.task.modalities})
