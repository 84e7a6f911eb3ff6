"""What a method may show of itself, for figures; no method has to.

Each class here is a hook: a method that has the function can be drawn, wherever it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from aubench.core.task import Inputs

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True)
class Reconstruction:
    """Images before, under and after a mask; float in [-1, 1], (N, C, H, W), clips (N, T, C, H, W).

    Attributes:
        original: What was to be restored, by modality; of clips, the frames that the method looks at.
        masked: What the method saw of it, by what that is called: a modality, or ``mixed``; hidden pixels are 0.
        restored: What the method made of that, by modality.
    """

    original: Inputs
    masked: Mapping[str, Tensor]
    restored: Inputs


@runtime_checkable
class SupportsReconstruction(Protocol):
    """A method that restores images of which it sees a part."""

    def reconstruct(self, inputs: Inputs, mask: float) -> Reconstruction:
        """Hide a part of images and restore it; all chance from the global generator.

        Args:
            inputs: As in ``forward``.
            mask: Share to hide, 0 to below 1.
        """
        ...


@runtime_checkable
class SupportsPairStatistics(Protocol):
    """A method that learns with what pairs of AUs do."""

    def pair_statistics(
        self, states: Sequence[Float[Tensor, "frames au"]]
    ) -> tuple[Float[Tensor, "au au"], Float[Tensor, "au au 16"]]:
        """What AU pairs do within a frame and from one frame to the next.

        Args:
            states: Of the consecutive frames of each sequence: labels or probabilities, -1 where unknown.

        Returns:
            How often both are present where either is, and the probability of each of the 16 states, whose number has
            the bits i now, j now, i next, j next from the lowest; -1 where it cannot be told.
        """
        ...


@runtime_checkable
class SupportsModalitySelection(Protocol):
    """A method that takes each feature from one of the modalities."""

    def modality_selection(self, inputs: Inputs) -> Float[Tensor, "n m"]:
        """The share of a frame's selections that each modality gets, in the task's order; rows sum to 1."""
        ...
