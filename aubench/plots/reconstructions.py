"""Reconstructions of masked images by a pre-trained method, for several mask ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch

from aubench.core.errors import UsageError
from aubench.core.introspection import Reconstruction, SupportsReconstruction
from aubench.plots import frame_selection, image_grid
from aubench.plots.image_grid import Block, columns_of
from aubench.runs import loading
from aubench.runs.config import RunConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from torch import Tensor


_Name = TypeVar("_Name", bound=str)


@dataclass(frozen=True)
class ReconstructionExamples:
    """Original, masked and restored frames.

    Attributes:
        rows: Name of each frame.
        by_mask: Reconstruction of images (N, C, H, W) by mask ratio.
    """

    rows: tuple[str, ...]
    by_mask: Mapping[float, Reconstruction]


def compute(config: RunConfig, fold: int, masks: Sequence[float], count: int) -> ReconstructionExamples:
    """Mask and restore test frames with the pre-trained weights.

    Args:
        config: Configuration of the run.
        fold: A finished fold.
        masks: Mask ratios in [0, 1).
        count: Number of frames: of different subjects, or of one clip for methods of clips.

    Raises:
        UsageError: The method does not reconstruct.
        CheckpointError: The pre-trained weights are missing or belong to another run.
    """
    refusal = UsageError(f"{config.entry.name} has no function reconstruct", hint="see docs/figures.md")
    if not issubclass(config.entry.method_class, SupportsReconstruction):
        raise refusal
    method = loading.load_pretrained_method(config, fold)
    data, split = config.load_data(fold)
    length = config.recipe_model.clip_length
    if length is None:
        rows = frame_selection.most_active_frames(data, split.test, count)
    else:
        rows = frame_selection.most_active_clip(data, split.test, length)
    views = frame_selection.views(data, config, rows)
    by_mask = {}
    for mask in masks:
        frame_selection.seed(config, fold)
        with torch.no_grad():
            by_mask[mask] = cast(SupportsReconstruction, method).reconstruct(views, mask)
        if not by_mask[mask].restored:
            raise refusal
    if length is None:
        return ReconstructionExamples(tuple(frame_selection.name(data, row) for row in rows), by_mask)
    return _select_frames(frame_selection.name(data, rows[0, 0]).split("\n")[0], by_mask, count)


def plot(examples: ReconstructionExamples, subtitle: Sequence[str]) -> Figure:
    """Plot originals and, for each mask ratio, masked and restored images."""
    (first, *_) = examples.by_mask.values()
    blocks = [Block("original", columns_of(first.original))]
    for mask, result in examples.by_mask.items():
        columns = (*columns_of(result.masked, "{}, masked"), *columns_of(result.restored))
        blocks.append(Block(f"{mask:.0%} masked", columns))
    return image_grid.plot(blocks, examples.rows, "Reconstructions after pre-training", subtitle)


def _select_frames(name: str, by_mask: Mapping[float, Reconstruction], count: int) -> ReconstructionExamples:
    """Select evenly spaced frames of a clip."""
    (first, *_) = by_mask.values()
    length = next(iter(first.original.values())).shape[1]
    chosen = np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()

    def cut(images: Mapping[_Name, Tensor]) -> dict[_Name, Tensor]:
        return {kind: x[0, chosen] for kind, x in images.items()}

    rows = tuple(f"{name}\n{i + 1} of {length}" for i in chosen)
    return ReconstructionExamples(
        rows,
        {
            mask: replace(each, original=cut(each.original), masked=cut(each.masked), restored=cut(each.restored))
            for mask, each in by_mask.items()
        },
    )
