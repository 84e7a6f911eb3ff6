"""Test-time conditions (missing modality, noise, masking, plug-in corruptions) and their string syntax.

=========================  ==========================================================================
``clean``                  images as they are
``missing:visual``         images of one modality are zero after normalization
``missing:visual+depth``   images of several modalities are zero
``missing:visual:black``   images are black (-1)
``missing:visual:mean``    images are the mean image of the training role
``noise:depth:0.2``        Gaussian noise of standard deviation 0.2 on images in [-1, 1]
``noise:all:0.2``          noise on every modality
``mask:all:0.5``           half of the patches of a 14 x 14 grid are zero, equal in all modalities
``NAME:all:LEVEL``         any corruption of :data:`aubench.core.corruption_registry.CORRUPTIONS`
=========================  ==========================================================================
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from aubench.core.corruption_registry import CORRUPTIONS
from aubench.core.errors import UsageError
from aubench.core.task import Modality

FILLS = ("zero", "black", "mean")
ALL = "all"
_FORMS = "clean, missing:visual, missing:visual+depth:black, noise:depth:0.2, noise:all:0.2 or mask:all:0.5"


def kind_of(condition: str) -> str:
    """Return the first word of a condition's text: ``clean``, ``missing`` or the name of a corruption."""
    return condition.partition(":")[0]


class CorruptionLevel(NamedTuple):
    """Corruption of the images of one modality.

    Attributes:
        kind: ``as is``, one of :data:`FILLS`, or the name of a corruption.
        level: Level of the corruption, e.g. the standard deviation of noise.
    """

    kind: str
    level: float = 0.0

    @property
    def is_constant(self) -> bool:
        """Whether every frame becomes the same image."""
        return self.kind in FILLS


IDENTITY = CorruptionLevel("as is")


@dataclass(frozen=True)
class Condition:
    """Corruption of some modalities of the test inputs. Levels have at most six digits, as the string form.

    Attributes:
        kind: ``clean``, ``missing`` or the name of a corruption.
        modalities: Corrupted modalities; empty for all.
        corruption: Corruption of each of these modalities.
    """

    kind: str = "clean"
    modalities: tuple[Modality, ...] = ()
    corruption: CorruptionLevel = IDENTITY

    def __post_init__(self) -> None:
        level = self.corruption.level
        if float(f"{level:g}") != level:
            raise UsageError(f"level {level} has more than six digits", hint=f"take {level:g}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the string form of a condition.

        Raises:
            UsageError: The string is not a condition.
        """
        kind, *words = text.split(":")
        try:
            return cls._parse(kind, words)
        except ValueError:
            raise UsageError(f"no condition '{text}'", hint=f"write {_FORMS}, or name a plug-in") from None

    @classmethod
    def _parse(cls, kind: str, words: list[str]) -> Self:
        if kind == "clean" and not words:
            return cls()
        target, *rest = words
        names = [] if target == ALL else target.split("+")
        if len(set(names)) < len(names):
            raise ValueError
        modalities = Modality.ordered(names)
        if kind == "missing" and len(rest) < 2:
            fill = rest[0] if rest else FILLS[0]
            if fill in FILLS:
                return cls("missing", modalities, CorruptionLevel(fill))
        if kind in CORRUPTIONS.names() and len(rest) == 1:
            level = float(rest[0])
            if CORRUPTIONS.get(kind).is_valid(level):
                return cls(kind, modalities, CorruptionLevel(kind, level))
        raise ValueError

    def __str__(self) -> str:
        if self.kind == "clean":
            return "clean"
        target = "+".join(self.modalities) or ALL
        if self.kind == "missing":
            return f"missing:{target}" + (f":{self.corruption.kind}" if self.corruption.kind != FILLS[0] else "")
        return f"{self.kind}:{target}:{self.corruption.level:g}"

    def corruptions(self, modalities: Iterable[Modality]) -> Mapping[Modality, CorruptionLevel]:
        """Return the corruption of each of some modalities."""
        chosen = self.modalities
        return {m: self.corruption if m in chosen or not chosen else IDENTITY for m in modalities}


CLEAN = Condition()


def missing(modalities: tuple[Modality, ...], fill: str = FILLS[0]) -> Condition:
    """Return the condition without some modalities."""
    return Condition("missing", modalities, CorruptionLevel(fill))


def subsets(modalities: tuple[Modality, ...], fill: str = FILLS[0]) -> list[Condition]:
    """Return a condition for every nonempty set of missing modalities."""
    sizes = range(1, len(modalities) + 1)
    return [missing(absent, fill) for size in sizes for absent in itertools.combinations(modalities, size)]
