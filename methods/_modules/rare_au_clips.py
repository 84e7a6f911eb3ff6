# Installed as aubench.methods._modules.rare_au_clips.
"""Additional training clips of rare AUs (AU-vMAE appendix §2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from aubench import Batch, Recipe

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

REST = 15
"""Number of consecutive frames without minority AUs that end a clip."""

_BP4D_AUS = (1, 2, 4, 15, 23, 24)
_DISFA_AUS = (1, 2, 9)


class RareAUClipsRecipe(Recipe):
    """Hyper-parameters of additional clips of rare AUs."""

    finetune_only: ClassVar[frozenset[str]] = frozenset({"minority_clips", "minority_aus", "minority_crop"})

    minority_clips: bool = Field(True, description="Add clips of rare AUs to training.")
    minority_aus: str = Field(
        "",
        pattern=r"^(\d+(,\d+)*)?$",
        description="FACS numbers of rare AUs. Empty is 1,2,9 for a task with AU9 (DISFA) and else BP4D's.",
    )

    minority_crop: float = Field(
        0.875, gt=0, le=1, description="Side of the random crop of clips of rare AUs, as a share of the image."
    )

    def minority(self, aus: tuple[int, ...]) -> tuple[int, ...]:
        """Return the rare AUs of a task, by default the paper's for DISFA if the task has AU9, else those for BP4D.

        Args:
            aus: FACS numbers of the task.
        """
        default = _DISFA_AUS if 9 in aus else _BP4D_AUS
        return tuple(au for au in self._named() or default if au in aus)

    def unknown_minority(self, aus: tuple[int, ...]) -> tuple[int, ...]:
        """Return the named rare AUs that a task does not have, none if the clips are not used.

        Args:
            aus: FACS numbers of the task.
        """
        return tuple(au for au in self._named() if self.minority_clips and au not in aus)

    def _named(self) -> tuple[int, ...]:
        return tuple(int(au) for au in self.minority_aus.split(",") if au)


def rare_au_spans(labels: Int[Tensor, "frames au"], columns: list[int]) -> list[tuple[int, int]]:
    """Return the spans of a sequence that start with a minority AU and end after 15 frames without one.

    Frames without any AU count as frames without a minority AU.

    Args:
        labels: 1 present, 0 absent, -1 unknown, which counts as absent.
        columns: Columns of the minority AUs.

    Returns:
        Start and end (exclusive) of disjoint spans, including the 15 frames.
    """
    spans: list[tuple[int, int]] = []
    for frame in (labels[:, columns] > 0).any(1).nonzero()[:, 0].tolist():
        start = spans.pop()[0] if spans and frame < spans[-1][1] else frame
        spans.append((start, frame + 1 + REST))
    return [(start, min(stop, len(labels))) for start, stop in spans]


def crop_and_mirror(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Crop the extra clips of a batch at random, resize them to their former size, and mirror half of them.

    All frames and modalities of a clip have the same crop. Other clips remain as they are.

    Args:
        batch: Clips, square images.
        share: Side of the crop as a share of the image.
        generator: CPU generator.
    """
    if batch.is_extra is None:
        return batch
    clips = batch.is_extra.nonzero()[:, 0].tolist()
    size = next(iter(batch.inputs.values())).shape[-1]
    side = max(round(share * size), 1)
    tops, lefts = torch.randint(0, size - side + 1, (2, len(clips)), generator=generator).tolist()
    mirrored = (torch.rand(len(clips), generator=generator) < 0.5).tolist()

    def views(images: Float[Tensor, "n t c h w"]) -> Float[Tensor, "n t c h w"]:
        images = images.clone()
        for clip, top, left, mirror in zip(clips, tops, lefts, mirrored, strict=True):
            crop = images[clip, :, :, top : top + side, left : left + side]
            resized = functional.interpolate(crop, (size, size), mode="bilinear")
            images[clip] = resized.flip(-1) if mirror else resized
        return images

    return replace(batch, inputs={m: views(x) for m, x in batch.inputs.items()})
