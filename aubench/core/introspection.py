"""Optional hooks of methods for figures.

Each class here describes a hook. ``aubench plot`` supports every method that implements it.
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
    """Images before, under and after a mask, float in [-1, 1], (N, C, H, W), clips (N, T, C, H, W).

    Attributes:
        original: Images to restore, by modality. For clips, the frames that the method uses.
        masked: Images that the method received, by modality or under the name ``mixed``. Hidden pixels are 0.
        restored: Restored images, by modality.
    """

    original: Inputs
    masked: Mapping[str, Tensor]
    restored: Inputs


@runtime_checkable
class SupportsReconstruction(Protocol):
    """A method that restores partly hidden images."""

    def reconstruct(self, inputs: Inputs, mask: float) -> Reconstruction:
        """Hide a part of images and restore it, with all randomness from the global generator.

        Args:
            inputs: As in ``forward``.
            mask: Fraction to hide, in [0, 1).
        """
        ...


@runtime_checkable
class SupportsPairStatistics(Protocol):
    """A method that learns from statistics of AU pairs."""

    def pair_statistics(
        self, states: Sequence[Float[Tensor, "frames au"]]
    ) -> tuple[Float[Tensor, "au au"], Float[Tensor, "au au 16"]]:
        """Compute statistics of AU pairs in a frame and in two consecutive frames.

        Args:
            states: Labels or probabilities of the consecutive frames of each sequence, -1 where unknown.

        Returns:
            Fraction of frames with both AUs among those with either, and the probability of each of the 16 states. The
            bits of a state's number are, from the lowest, i now, j now, i next and j next. Undefined values are -1.
        """
        ...


@runtime_checkable
class SupportsModalitySelection(Protocol):
    """A method that takes each feature from one of the modalities."""

    def modality_selection(self, inputs: Inputs) -> Float[Tensor, "n m"]:
        """Compute each modality's fraction of a frame's selections, in the task's order. Rows sum to 1."""
        ...
