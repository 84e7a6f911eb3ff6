"""Core types: modality, task and batch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core.core_schema import no_info_after_validator_function

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema
    from torch import Tensor


_OTHER = re.compile(r"[a-z][a-z0-9_]{0,29}-[1-3]")


class _BuiltinModalities(type):
    """Type of :class:`Modality`, over which ``for`` yields the built-in modalities in canonical order."""

    def __iter__(cls) -> Iterator[Modality]:
        return iter((Modality.VISUAL, Modality.DEPTH, Modality.THERMAL))

    def __len__(cls) -> int:
        return len(_BUILTIN)

    def __contains__(cls, name: object) -> bool:
        return name in _BUILTIN


class Modality(str, metaclass=_BuiltinModalities):
    """A kind of image: ``visual``, ``depth``, ``thermal``, or another name with its number of channels (``flow-2``).

    A name has one instance, so ``is`` compares modalities.

    Raises:
        ValueError: The text names no modality.
    """

    __slots__ = ()
    VISUAL: ClassVar[Modality]
    DEPTH: ClassVar[Modality]
    THERMAL: ClassVar[Modality]
    _instances: ClassVar[dict[str, Modality]] = {}

    def __new__(cls, name: str) -> Modality:
        """Return the modality of this name."""
        if name not in cls._instances:
            if name not in _BUILTIN and (not _OTHER.fullmatch(name) or name[:-2] in _BUILTIN):
                known = ", ".join(_BUILTIN)
                raise ValueError(f"'{name}' is not a modality: {known}, or a name and 1 to 3 channels as in flow-2")
            cls._instances[name] = str.__new__(cls, name)
        return cls._instances[name]

    def __repr__(self) -> str:
        return f"Modality({self.value!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of text that is converted to a modality."""
        return no_info_after_validator_function(cls, handler(str))

    @classmethod
    def ordered(cls, names: Iterable[str]) -> tuple[Modality, ...]:
        """Return modalities in canonical order: the built-in ones, then the others by name."""
        return tuple(sorted(map(cls, names), key=lambda modality: modality.order))

    @property
    def value(self) -> str:
        """Name."""
        return str(self)

    @property
    def order(self) -> tuple[int, str]:
        """Sort key of the canonical order."""
        return (_BUILTIN.index(self), "") if self in _BUILTIN else (len(_BUILTIN), self.value)

    @property
    def channels(self) -> int:
        """Number of image channels: 3 for visual (RGB), 1 for depth and thermal."""
        return 3 if self == "visual" else 1 if self in _BUILTIN else int(self[-1])

    @property
    def letter(self) -> str:
        """Letter in tables: V, D or T. Others have their name in brackets."""
        return self[0].upper() if self in _BUILTIN else f"[{self[:-2]}]"


_BUILTIN = ("visual", "depth", "thermal")
Modality.VISUAL, Modality.DEPTH, Modality.THERMAL = map(Modality, _BUILTIN)


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
