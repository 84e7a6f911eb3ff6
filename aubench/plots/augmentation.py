"""Training frames before and after a method's own augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from aubench.core.errors import UsageError
from aubench.core.task import Batch, Inputs
from aubench.data import clips, loader, transforms
from aubench.plots import frame_selection, image_grid
from aubench.plots.image_grid import Block, Box, Column
from aubench.runs.config import RunConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

LOOKED_AT = 64
"""Frames that are augmented to find some that change."""


@dataclass(frozen=True)
class AugmentationExamples:
    """Frames that an augmentation changed.

    Attributes:
        rows: What each frame is.
        before: (N, C, H, W) in [-1, 1], by modality.
        after: The same frames.
        changed: How many frames, or clips, were changed.
        of: How many were looked at.
    """

    rows: tuple[str, ...]
    before: Inputs
    after: Inputs
    changed: int
    of: int


def compute(plan: RunConfig, fold: int, count: int) -> AugmentationExamples:
    """Augment some training frames as a run does, after crop and mirror.

    Args:
        plan: A run; it need not have begun.
        fold: Any of its folds.
        count: How many frames to show at most; of clips, the first frame of each.

    Raises:
        UsageError: The augmentation changes none of them.
    """
    data, roles = plan.load_data(fold)
    seed = frame_selection.seed(plan, fold)
    method, recipe = plan.build_method(), plan.recipe_model
    length = recipe.clip_length
    if length is None:
        rows = loader.shuffled_epoch(roles.train, LOOKED_AT, seed)
    else:
        rows = clips.sample_clips(data, roles.train, length, LOOKED_AT, seed)
    generator = torch.Generator().manual_seed(seed)
    stored = loader.read(data, method.task.modalities, rows, landmarks=method.task.landmarks > 0)
    windows = transforms.random_crops(len(rows), recipe.image_size, recipe.crop, flip=recipe.flip, generator=generator)
    points = None if stored.landmarks is None else transforms.landmarks_in_views(stored.landmarks, windows)
    before = transforms.random_crop_views(stored.images, windows)
    given = {m: x.clone() for m, x in before.items()}
    after = method.augment(Batch(given, stored.labels, points), generator).inputs
    differ = torch.stack([(after[m] != x.expand_as(after[m])).flatten(1).any(1) for m, x in before.items()]).any(0)
    chosen = differ.nonzero()[:count, 0]
    if not len(chosen):
        raise UsageError(f"{plan.entry.name} changes no image of its training frames in this recipe")
    first = clips.image_rows(rows).reshape(len(rows), -1)[chosen.numpy(), 0]
    names = tuple(frame_selection.name(data, row) for row in first)
    return AugmentationExamples(names, _firsts(before, chosen), _firsts(after, chosen), int(differ.sum()), len(rows))


def plot(found: AugmentationExamples, words: Sequence[str]) -> Figure:
    """Each modality before, then after, with a box around what is new."""
    before = Block("before", tuple(Column(m, image_grid.pixels(x)) for m, x in found.before.items()))
    after = Block(
        "after", tuple(Column(m, image_grid.pixels(x), boxes(found.before[m], x)) for m, x in found.after.items())
    )
    title = f"Augmentation: {found.changed} of {found.of} training frames changed"
    return image_grid.plot((before, after), found.rows, title, words)


def boxes(before: Tensor, after: Tensor) -> tuple[Box | None, ...]:
    """The least box around all pixels that differ, frame by frame.

    Args:
        before: (N, C, H, W).
        after: The same frames, perhaps with a single channel replicated.
    """
    return tuple(_box(there) for there in (after != before.expand_as(after)).any(1))


def _box(there: Tensor) -> Box | None:
    rows, columns = there.any(1).nonzero()[:, 0].tolist(), there.any(0).nonzero()[:, 0].tolist()
    if not rows:
        return None
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


def _firsts(images: Inputs, chosen: Tensor) -> Inputs:
    """Some frames, or the first ones of some clips."""
    return {m: x[chosen, 0] if x.ndim == 5 else x[chosen] for m, x in images.items()}
