"""Training frames before and after a method's augmentation."""

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

SAMPLES = 64
"""Number of augmented frames, also of clips, of which changed ones are shown."""


@dataclass(frozen=True)
class AugmentationExamples:
    """Frames that an augmentation changed.

    Attributes:
        rows: Name of each frame.
        before: Images (N, C, H, W) in [-1, 1] by modality.
        after: Images of the same frames after augmentation.
        changed: Number of changed frames or clips.
        total: Number of augmented frames or clips.
        unit: ``frames`` or ``clips``.
    """

    rows: tuple[str, ...]
    before: Inputs
    after: Inputs
    changed: int
    total: int
    unit: str


def compute(config: RunConfig, fold: int, count: int) -> AugmentationExamples:
    """Augment training frames as in training, after crop and mirror.

    Args:
        config: Configuration of a run. The run need not have started.
        fold: Any fold.
        count: Maximum number of frames to show. Of a clip, the first frame is shown.

    Raises:
        UsageError: The augmentation changes no frame.
    """
    data, split = config.load_data(fold)
    seed = frame_selection.seed(config, fold)
    method, recipe = config.build_method(), config.recipe_model
    length = recipe.clip_length
    if length is None:
        rows, is_extra = loader.shuffled_epoch(split.train, SAMPLES, seed), None
    else:
        rows, extra = clips.sample_clips(
            data, split.train, length, SAMPLES, seed, lambda labels: method.extra_clip_spans(torch.from_numpy(labels))
        )
        is_extra = torch.from_numpy(extra)
    generator = torch.Generator().manual_seed(seed)
    stored = loader.read(data, method.task.modalities, rows, landmarks=method.task.landmarks > 0)
    windows = transforms.random_crops(len(rows), recipe.image_size, recipe.crop, flip=recipe.flip, generator=generator)
    landmarks = None if stored.landmarks is None else transforms.landmarks_in_views(stored.landmarks, windows)
    before = transforms.random_crop_views(stored.images, windows)
    copies = {m: x.clone() for m, x in before.items()}
    after = method.augment(Batch(copies, stored.labels, landmarks, is_extra), generator).inputs
    changed = torch.stack([_is_changed(x, after[m]).flatten(1).any(1) for m, x in before.items()]).any(0)
    chosen = changed.nonzero()[:count, 0]
    if not len(chosen):
        raise UsageError(f"{config.entry.name} changes no image of its training frames in this recipe")
    first_rows = clips.image_rows(rows).reshape(len(rows), -1)[chosen.numpy(), 0]
    names = tuple(frame_selection.name(data, row) for row in first_rows)
    return AugmentationExamples(
        names,
        _first_frames(before, chosen),
        _first_frames(after, chosen),
        changed=int(changed.sum()),
        total=len(rows),
        unit="frames" if length is None else "clips",
    )


def plot(examples: AugmentationExamples, subtitle: Sequence[str]) -> Figure:
    """Plot each modality before and after augmentation, with a box around changed pixels."""
    before = tuple(Column(m, image_grid.pixels(x)) for m, x in examples.before.items())
    after = tuple(Column(m, image_grid.pixels(x), boxes(examples.before[m], x)) for m, x in examples.after.items())
    title = f"Augmentation: {examples.changed} of {examples.total} training {examples.unit} changed"
    return image_grid.plot((Block("before", before), Block("after", after)), examples.rows, title, subtitle)


def boxes(before: Tensor, after: Tensor) -> tuple[Box | None, ...]:
    """Return the bounding box of all changed pixels of each frame.

    Args:
        before: Images (N, C, H, W).
        after: Images of the same frames, possibly with further channels.
    """
    return tuple(_box(mask) for mask in _is_changed(before, after))


def _is_changed(before: Tensor, after: Tensor) -> Tensor:
    """Return which pixels differ (N, H, W), in those channels that both images have."""
    channels = before.shape[1] if before.shape[1] > 1 else after.shape[1]
    return (after[:, :channels] != before).any(1)


def _box(mask: Tensor) -> Box | None:
    rows, columns = mask.any(1).nonzero()[:, 0].tolist(), mask.any(0).nonzero()[:, 0].tolist()
    if not rows:
        return None
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


def _first_frames(images: Inputs, chosen: Tensor) -> Inputs:
    """Return the chosen frames, or the first frames of the chosen clips."""
    return {m: x[chosen, 0] if x.ndim == 5 else x[chosen] for m, x in images.items()}
