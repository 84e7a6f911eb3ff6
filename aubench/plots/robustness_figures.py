"""All figures of methods under conditions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aubench.core import hashing
from aubench.metrics.robustness_profile import RobustnessProfile
from aubench.plots import noise_curves, robustness_bars, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(found: Sequence[RobustnessProfile], words: Sequence[str], folder: Path) -> list[Path]:
    """Draw curves, bars and heat maps, each as PNG and SVG.

    Args:
        found: The methods.
        words: What is said below each title.
        folder: Where to write.

    Returns:
        The files.
    """
    return [
        style.save(figure, folder / f"{name}{suffix}")
        for name, figure in _figures(found, words)
        if figure is not None
        for suffix in style.SUFFIXES
    ]


def _figures(found: Sequence[RobustnessProfile], words: Sequence[str]) -> Iterator[tuple[str, Figure | None]]:
    interval = "shaded: 95 % interval over subjects"
    yield "curves", noise_curves.plot(found, "noise", [*words, interval])
    yield "curves_mask", noise_curves.plot(found, "mask", [*words, interval])
    yield "missing", robustness_bars.bars(found, [*words, "lines: 95 % interval over subjects"])
    for one in found:
        yield f"heatmap_{_plain(one.name)}", robustness_bars.heat_map(one, words)


def _plain(name: str) -> str:
    """A name for a file: itself where it is plain, or its first word and a digest."""
    first = re.split(r"[^\w-]", name)[0]
    return name if first == name else f"{first}_{hashing.hash_json(name)[:8]}"
