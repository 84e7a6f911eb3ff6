"""Core types: modality, task and batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


class Modality(StrEnum):
    """A kind of image."""

    VISUAL = "visual"
    DEPTH = "depth"
    THERMAL = "thermal"

    @property
    def channels(self) -> int:
        """Number of image channels: 3 for visual (RGB), 1 for depth and thermal."""
        return 3 if self is Modality.VISUAL else 1

    @property
    def letter(self) -> str:
        """Letter in tables: V, D or T."""
        return self.value[0].upper()


@dataclass(frozen=True)
class Task:
    """Inputs and outputs of a method.

    Attributes:
        modalities: Modalities of every frame, in canonical order.
        aus: FACS numbers of the AUs. Column ``i`` of labels and probabilities is ``aus[i]``.
        image_size: Height and width in pixels of the images that reach ``forward``.
        landmarks: Number of facial points per training frame (see :mod:`aubench.core.landmarks`), or 0 if the data set
            has none or the method does not need them.
    """

    modalities: tuple[Modality, ...]
    aus: tuple[int, ...]
    image_size: int
    landmarks: int = 0

    @property
    def channels(self) -> int:
        """Total number of channels of all modalities."""
        return sum(m.channels for m in self.modalities)


Inputs = Mapping[Modality, "Float[Tensor, 'n *t c h w']"]
"""Images by modality, normalised to [-1, 1]. Clips have a dimension T after N."""


@dataclass(frozen=True)
class Batch:
    """Frames or clips of the training role.

    Attributes:
        inputs: Images by modality, (N, C, H, W) or (N, T, C, H, W), float in [-1, 1].
        labels: (N, A) or (N, T, A): 1 present, 0 absent, -1 unknown.
        landmarks: (N, L, 2) or (N, T, L, 2): columns and rows of the task's points, -1 to 1 from edge to edge of the
            image, NaN where unknown. None if the task has no points.
        is_extra: Whether each clip is from a method's ``extra_clip_spans``, (N,). None for frames.
    """

    inputs: Inputs
    labels: Int[Tensor, "n *t au"]
    landmarks: Float[Tensor, "n *t l 2"] | None = None
    is_extra: Bool[Tensor, " n"] | None = None

    def map_inputs(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return a copy of the batch with ``change`` applied to each modality's images."""
        return replace(self, inputs={m: change(x) for m, x in self.inputs.items()})
