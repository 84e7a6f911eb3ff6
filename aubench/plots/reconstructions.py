"""What a pre-trained method restores of masked images, for several shares of the mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch

from aubench.core.errors import UsageError
from aubench.core.introspection import Reconstruction, SupportsReconstruction
from aubench.plots import frame_selection, image_grid
from aubench.plots.image_grid import Block, Column
from aubench.runs import loading
from aubench.runs.config import RunConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from torch import Tensor

    from aubench.core.task import Inputs

_Name = TypeVar("_Name", bound=str)


@dataclass(frozen=True)
class ReconstructionExamples:
    """Frames, masked and restored.

    Attributes:
        rows: What each frame is.
        by_mask: Share of the mask to what was made of the frames, (N, C, H, W).
    """

    rows: tuple[str, ...]
    by_mask: Mapping[float, Reconstruction]


def compute(plan: RunConfig, fold: int, masks: Sequence[float], count: int) -> ReconstructionExamples:
    """Mask test frames and restore them, by the weights that pre-training left.

    Args:
        plan: A run.
        fold: A finished one.
        masks: Shares to hide, 0 to below 1.
        count: How many frames, each of another subject; of one clip, where the method takes clips.

    Raises:
        UsageError: The method does not reconstruct.
        CheckpointError: The pre-trained weights are not there, or not those of the run.
    """
    if not issubclass(plan.entry.method_class, SupportsReconstruction):
        raise _nothing(plan)
    method = loading.load_pretrained_method(plan, fold)
    data, roles = plan.load_data(fold)
    length = plan.recipe_model.clip_length
    if length is None:
        rows = frame_selection.most_active_frames(data, roles.test, count)
        names = tuple(frame_selection.name(data, row) for row in rows)
    else:
        rows, names = frame_selection.most_active_clip(data, roles.test, length), ()
    views = frame_selection.views(data, method, rows)
    found = {}
    for mask in masks:
        frame_selection.seed(plan, fold)
        with torch.no_grad():
            found[mask] = cast(SupportsReconstruction, method).reconstruct(views, mask)
        if not found[mask].restored:
            raise _nothing(plan)
    if length is None:
        return ReconstructionExamples(names, found)
    return _of_clip(frame_selection.name(data, rows[0, 0]).split("\n")[0], found, count)


def plot(found: ReconstructionExamples, words: Sequence[str]) -> Figure:
    """Originals, then for each mask what the method saw and what it restored."""
    (first, *_) = found.by_mask.values()
    blocks = [Block("original", _columns(first.original))]
    for mask, made in found.by_mask.items():
        columns = (*_columns(made.masked, "{}, seen"), *_columns(made.restored))
        blocks.append(Block(f"{mask:.0%} hidden", columns))
    return image_grid.plot(blocks, found.rows, "Reconstructions after pre-training", words)


def _columns(images: Mapping[str, Tensor] | Inputs, title: str = "{}") -> tuple[Column, ...]:
    return tuple(Column(title.format(name), image_grid.pixels(x)) for name, x in images.items())


def _of_clip(name: str, found: Mapping[float, Reconstruction], count: int) -> ReconstructionExamples:
    """Some frames of a single clip, evenly spread."""
    (first, *_) = found.values()
    length = next(iter(first.original.values())).shape[1]
    chosen = np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()

    def cut(images: Mapping[_Name, Tensor]) -> dict[_Name, Tensor]:
        return {kind: x[0, chosen] for kind, x in images.items()}

    rows = tuple(f"{name}\n{i + 1} of {length}" for i in chosen)
    return ReconstructionExamples(
        rows,
        {
            mask: replace(made, original=cut(made.original), masked=cut(made.masked), restored=cut(made.restored))
            for mask, made in found.items()
        },
    )


def _nothing(plan: RunConfig) -> UsageError:
    return UsageError(f"{plan.entry.name} has nothing to reconstruct")
