"""Figures of a robustness comparison."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aubench.core import hashing
from aubench.core.corruption_registry import CORRUPTIONS
from aubench.metrics.robustness_profile import RobustnessProfile
from aubench.plots import noise_curves, robustness_bars, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(profiles: Sequence[RobustnessProfile], subtitle: Sequence[str], folder: Path) -> list[Path]:
    """Plot curves, bars and heat maps, each as PNG and SVG.

    Args:
        profiles: Profile of each method.
        subtitle: Parts of the subtitle.
        folder: Folder of the files.

    Returns:
        The paths of the files.
    """
    return [
        style.save(figure, folder / f"{name}{suffix}")
        for name, figure in _figures(profiles, subtitle)
        if figure is not None
        for suffix in style.SUFFIXES
    ]


def _figures(profiles: Sequence[RobustnessProfile], subtitle: Sequence[str]) -> Iterator[tuple[str, Figure | None]]:
    interval = "shaded: 95 % interval over subjects"
    for kind in CORRUPTIONS.names():
        name = "curves" if kind == "noise" else f"curves_{kind}"
        yield name, noise_curves.plot(profiles, kind, [*subtitle, interval])
    yield "missing", robustness_bars.bars(profiles, [*subtitle, "lines: 95 % interval over subjects"])
    for profile in profiles:
        yield f"heatmap_{_file_name(profile.name)}", robustness_bars.heat_map(profile, subtitle)


def _file_name(name: str) -> str:
    """Return ``name`` if it is a plain word, otherwise its first word and a digest."""
    first = re.split(r"[^\w-]", name)[0]
    return name if first == name else f"{first}_{hashing.hash_json(name)[:8]}"
