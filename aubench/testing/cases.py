"""Test cases of the contract: tasks, and batches of random images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from aubench._util.seeds import seed_everything
from aubench.core import method_hooks
from aubench.core.landmarks import COUNT
from aubench.core.method import Method, build_method
from aubench.core.task import Batch, Modality, Task
from aubench.data import transforms

if TYPE_CHECKING:
    from aubench.core.recipe import Recipe

AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
FRAMES = 6


class ContractViolation(Exception):
    """A breach of the contract by a method."""


@dataclass(frozen=True)
class Case:
    """A method on one task.

    Attributes:
        method: The method.
        task: Its task.
        recipe: Its recipe.
        changed: Modality with other images than usual.
    """

    method: type[Method]
    task: Task
    recipe: Recipe
    changed: Modality | None = None

    @property
    def frames(self) -> tuple[int, ...]:
        """Leading dimensions: (frames,), or (clips, frames per clip)."""
        length = self.recipe.clip_length
        return (FRAMES,) if length is None else (FRAMES, length)

    def build(self, seed: int = 0) -> Method:
        """Create the method with weights initialised from a seed."""
        seed_everything(seed)
        return build_method(self.method, self.task, self.recipe)

    def images(self) -> dict[Modality, Tensor]:
        """Return random images in the format of a store, with a random mean brightness per frame or clip."""
        generator = torch.Generator().manual_seed(1)
        size = self.recipe.image_size
        brightness = torch.randint(0, 128, (*self.frames, 1, 1, 1), generator=generator)
        images = {
            m: (brightness + torch.randint(0, 128, (*self.frames, size, size, m.channels), generator=generator)).byte()
            for m in self.task.modalities
        }
        if self.changed is not None:
            shape = images[self.changed].shape
            images[self.changed] = torch.randint(0, 256, shape, generator=generator).byte()
        return images

    def batch(self) -> Batch:
        """Create a training batch in which some labels are unknown."""
        views = transforms.center_crop(self.images(), self.recipe.image_size, self.recipe.crop)
        labels = torch.randint(-1, 2, (*self.frames, len(AUS)), generator=torch.Generator().manual_seed(2))
        is_extra = None if self.recipe.clip_length is None else torch.arange(FRAMES) % 2 == 1
        return Batch(views, labels, self._landmarks() if self.task.landmarks else None, is_extra)

    def _landmarks(self) -> Tensor:
        """Return random points in the image. The first frame lacks one point, the second all points."""
        generator = torch.Generator().manual_seed(3)
        points = torch.rand(*self.frames, self.task.landmarks, 2, generator=generator) * 2 - 1
        points[0, ..., 0, :] = torch.nan
        points[1] = torch.nan
        return points

    def __str__(self) -> str:
        letters = "".join(m.letter for m in self.task.modalities)
        return f"{letters} with landmarks" if self.task.landmarks else letters


def offered_tasks(size: int) -> Iterator[Task]:
    """Yield a task for each set of modalities.

    Args:
        size: Height and width of the inputs of ``forward``.
    """
    for count in range(1, len(Modality) + 1):
        for modalities in itertools.combinations(Modality, count):
            yield Task(modalities, AUS, size)


def supported_cases(method: type[Method], recipe: Recipe) -> Iterator[Task]:
    """Yield the supported tasks, with the modalities that the method uses, and variants with the points it needs."""
    for task in offered_tasks(recipe.crop):
        if method_hooks.unsupported_reason(method, task, recipe) is None:
            selected = replace(task, modalities=method_hooks.select_modalities(method, task, recipe))
            yield from (selected, replace(selected, landmarks=COUNT)) if method.needs_landmarks else (selected,)
