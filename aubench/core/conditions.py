"""What is done to test inputs: conditions, told in a few letters, and the treatment of each modality under one.

=========================  ==========================================================================
``clean``                  nothing
``missing:visual``         a modality's images are zero after normalisation, as a missing sensor leaves them
``missing:visual+depth``   several of them
``missing:visual:black``   ... or black, the least value
``missing:visual:mean``    ... or the mean image of the training role
``noise:depth:0.2``        Gaussian noise of standard deviation 0.2 on images in [-1, 1]
``noise:all:0.2``          ... on every modality
``mask:all:0.5``           half of the patches of a 14 x 14 grid are zero, the same in all modalities
=========================  ==========================================================================
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from aubench.core.errors import UsageError
from aubench.core.task import Modality

Kind = Literal["clean", "missing", "noise", "mask"]
FILLS = ("zero", "black", "mean")
ALL = "all"
_FORMS = "clean, missing:visual, missing:visual+depth:black, noise:depth:0.2, noise:all:0.2 or mask:all:0.5"


class Corruption(NamedTuple):
    """What is done to the images of one modality.

    Attributes:
        how: ``as is``, one of :data:`FILLS`, ``noise`` or ``mask``.
        level: Standard deviation of noise, share of masked patches.
    """

    kind: str
    level: float = 0.0

    @property
    def is_constant(self) -> bool:
        """Whether every frame becomes the same image."""
        return self.kind in FILLS


IDENTITY = Corruption("as is")


@dataclass(frozen=True)
class Condition:
    """What is done to the test inputs.

    Attributes:
        kind: In general.
        modalities: To which; all of them where empty.
        treatment: In particular.
    """

    kind: Kind = "clean"
    modalities: tuple[Modality, ...] = ()
    corruption: Corruption = IDENTITY

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a condition as :meth:`__str__` writes it.

        Raises:
            UsageError: It is none.
        """
        kind, *words = text.split(":")
        try:
            found = cls._read(kind, words)
        except ValueError:
            raise UsageError(f"no condition '{text}'", hint=f"write {_FORMS}") from None
        return found

    @classmethod
    def _read(cls, kind: str, words: list[str]) -> Self:
        if kind == "clean" and not words:
            return cls()
        where, *rest = words
        names = () if where == ALL else tuple(Modality(name) for name in where.split("+"))
        if len(set(names)) < len(names):
            raise ValueError
        modalities = tuple(m for m in Modality if m in names)
        if kind == "missing" and len(rest) < 2:
            fill = rest[0] if rest else FILLS[0]
            if fill in FILLS:
                return cls("missing", modalities, Corruption(fill))
        if kind in ("noise", "mask") and len(rest) == 1:
            level = float(rest[0])
            if math.isfinite(level) and 0 < level <= (1 if kind == "mask" else 100):
                return cls(kind, modalities, Corruption(kind, level))  # type: ignore[arg-type]
        raise ValueError

    def __str__(self) -> str:
        if self.kind == "clean":
            return "clean"
        where = "+".join(self.modalities) or ALL
        if self.kind == "missing":
            return f"missing:{where}" + (f":{self.corruption.kind}" if self.corruption.kind != FILLS[0] else "")
        return f"{self.kind}:{where}:{self.corruption.level:g}"

    def corruptions(self, modalities: Iterable[Modality]) -> Mapping[Modality, Corruption]:
        """What is done to each of some modalities."""
        treated = self.modalities or tuple(Modality)
        return {m: self.corruption if m in treated else IDENTITY for m in modalities}


CLEAN = Condition()


def missing(modalities: tuple[Modality, ...], fill: str = FILLS[0]) -> Condition:
    """Some modalities are missing."""
    return Condition("missing", modalities, Corruption(fill))


def subsets(modalities: tuple[Modality, ...], fill: str = FILLS[0]) -> list[Condition]:
    """What is left out so that every proper subset is left over once, the empty one included."""
    sizes = range(1, len(modalities) + 1)
    return [missing(gone, fill) for size in sizes for gone in itertools.combinations(modalities, size)]
