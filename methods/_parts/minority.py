"""Clips of rare AUs, on top of the videos that they are cut from (AU-vMAE appendix §2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

REST = 15
"""Consecutive frames of majority AUs alone that end a clip."""

_OF_BP4D = (1, 2, 4, 15, 23, 24)
_OF_DISFA = (1, 2, 9)


def minority_of(aus: tuple[int, ...]) -> tuple[int, ...]:
    """The paper's minority among a task's AUs: DISFA's where AU9 is asked for, BP4D's otherwise.

    Args:
        aus: FACS numbers.
    """
    return tuple(au for au in (_OF_DISFA if 9 in aus else _OF_BP4D) if au in aus)


def minority_spans(labels: Int[Tensor, "frames au"], columns: list[int]) -> list[tuple[int, int]]:
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
