"""Corruptions of test images with levels, and their registry.

Missing modalities have fills instead of levels and belong to the syntax of conditions (:mod:`aubench.core.conditions`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from aubench.core.errors import UsageError
from aubench.core.hook_errors import convert_errors
from aubench.core.plugins import Registry

if TYPE_CHECKING:
    from torch import Tensor

RESERVED = ("all", "clean", "missing", "zero", "black", "mean", "name", "version", "title", "corruptions")
"""Words of conditions and suites that name no corruption."""


class ImageNoise(Protocol):
    """Random numbers of the frames of one modality, equal for all methods of one image size."""

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal noise of the shape, type and device of some images."""

    def cell_ranks(self, like: Tensor) -> Tensor:
        """Return random ranks from 0 to 1 of the cells of a 14 x 14 grid, equal in all modalities of a frame."""


@dataclass(frozen=True)
class Corruption:
    """Corruption of test images, with a level.

    A module-level instance in a plug-in file, or behind an entry point of the group ``aubench.corruptions``, adds one.

    Attributes:
        name: Lower-case identifier, used in conditions (``blur:visual:3``) and as section of suites.
        title: Title of its degradation curves.
        axis_label: Meaning of the level.
        function: Maps images ((N, C, H, W) or (N, T, C, H, W), in [-1, 1] before corruption), a level and the
            :class:`ImageNoise` of their frames to images of the same shape.
        max_level: Largest level. All levels are above 0, which stands for clean inputs.
        integer_levels: Whether levels are integers.
        label: Format of a condition in figures, with ``name``, ``level`` and ``target``.
        levels_key: Key of the levels in suites, besides ``levels``.
    """

    name: str
    title: str
    axis_label: str
    function: Callable[[Any, float, Any], Any]
    max_level: float = 1.0
    integer_levels: bool = False
    label: str = "{name} {level:g} on {target}"
    levels_key: str = "levels"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,15}", self.name) or self.name in RESERVED:
            raise UsageError(f"corruption name '{self.name}' is invalid", hint="use lower-case letters, digits and _")

    def is_valid(self, level: float) -> bool:
        """Return whether the corruption has this level."""
        return math.isfinite(level) and 0 < level <= self.max_level and (not self.integer_levels or level % 1 == 0)

    def apply(self, images: Tensor, level: float, noise: ImageNoise) -> Tensor:
        """Corrupt images.

        Raises:
            UsageError: The function fails, or returns something else than images of this shape and type.
        """
        with convert_errors(self.function, f"corruption '{self.name}'", UsageError):
            corrupted: Any = self.function(images, level, noise)
        got, expected = (
            f"shape {tuple(x.shape)} of {x.dtype}" if hasattr(x, "dtype") else type(x).__name__
            for x in (corrupted, images)
        )
        if got != expected:
            raise UsageError(f"corruption '{self.name}' returns {got} for images of {expected}")
        return cast("Tensor", corrupted)

    def describe(self, level: float, target: str) -> str:
        """Describe a condition in a few words."""
        return self.label.format(name=self.name, level=level, target=target)


def _add_noise(images: Tensor, level: float, noise: ImageNoise) -> Tensor:
    return images.add(noise.normal(images), alpha=level)


def _mask(images: Tensor, level: float, noise: ImageNoise) -> Tensor:
    return images * (noise.cell_ranks(images) >= level)


NOISE = Corruption(
    "noise", "F1 under noise", "standard deviation of noise", _add_noise, max_level=100, levels_key="sigma"
)
MASK = Corruption(
    "mask",
    "F1 with patches hidden",
    "share of patches hidden",
    _mask,
    label="{level:.0%} of {target} masked",
    levels_key="share",
)

CORRUPTIONS = Registry(
    "corruption",
    Corruption,
    "aubench.corruptions",
    {name: f"{__name__}:{name.upper()}" for name in ("noise", "mask")},
)
"""All corruptions: built-in ones, those of installed packages, and those of the files in ``AUBENCH_PLUGINS``."""
