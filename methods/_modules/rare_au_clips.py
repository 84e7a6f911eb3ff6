"""Clips of rare AUs, on top of the videos that they are cut from (AU-vMAE appendix §2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from aubench import Recipe

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

REST = 15
"""Consecutive frames of majority AUs alone that end a clip."""

_OF_BP4D = (1, 2, 4, 15, 23, 24)
_OF_DISFA = (1, 2, 9)


class RareAUClipsRecipe(Recipe):
    """What methods that draw clips of rare AUs share."""

    finetune_only: ClassVar[frozenset[str]] = frozenset({"minority_clips", "minority_aus"})

    minority_clips: bool = Field(True, description="Draw clips of rare AUs besides.")
    minority_aus: str = Field(
        "", pattern=r"^(\d+(,\d+)*)?$", description="Their FACS numbers, such as 1,2,9; the paper's where empty."
    )

    def minority(self, aus: tuple[int, ...]) -> tuple[int, ...]:
        """The rare ones among a task's AUs; the paper's are DISFA's where AU9 is asked for, BP4D's otherwise.

        Args:
            aus: FACS numbers.
        """
        papers = _OF_DISFA if 9 in aus else _OF_BP4D
        wanted = tuple(int(au) for au in self.minority_aus.split(",") if au) or papers
        return tuple(au for au in wanted if au in aus)


def rare_au_spans(labels: Int[Tensor, "frames au"], columns: list[int]) -> list[tuple[int, int]]:
    """Parts of a sequence that begin with a minority AU and end once none was there for 15 frames.

    Frames without any AU count like frames of majority AUs alone.

    Args:
        labels: 1 present, 0 absent, -1 unknown, which counts as absent.
        columns: Of the minority AUs.

    Returns:
        First frame and the one after the last, those 15 included; parts do not overlap.
    """
    spans: list[tuple[int, int]] = []
    for frame in (labels[:, columns] > 0).any(1).nonzero()[:, 0].tolist():
        start = spans.pop()[0] if spans and frame < spans[-1][1] else frame
        spans.append((start, frame + 1 + REST))
    return [(start, min(stop, len(labels))) for start, stop in spans]
