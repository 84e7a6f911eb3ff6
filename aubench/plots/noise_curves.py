"""Degradation curves: F1 by level of a corruption, one panel per modality set and one line per method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aubench.core.conditions import ALL
from aubench.core.corruption_registry import CORRUPTIONS
from aubench.core.task import Modality
from aubench.metrics import robustness_profile
from aubench.metrics.intervals import mean_interval
from aubench.metrics.robustness_profile import ModalitySet, RobustnessProfile
from aubench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = ("-", "--", ":")
_LEGEND_COLUMNS = 4


def plot(profiles: Sequence[RobustnessProfile], kind: str, subtitle: Sequence[str]) -> Figure | None:
    """Plot a line per method with a shaded interval over subjects, and the always-positive baseline.

    Args:
        profiles: Profile of each method.
        kind: Name of a corruption.
        subtitle: Parts of the subtitle.

    Returns:
        The figure, or None if no profile has conditions of this kind.
    """
    sets = sorted({modalities for profile in profiles for modalities in profile.modality_sets(kind)}, key=_order)
    if not sets:
        return None
    with style.styled():
        rows = -(-(len(profiles) + 1) // _LEGEND_COLUMNS)
        figure = style.make_figure(max(6.4, 1.2 + 2.9 * len(sets)), 4.0 + 0.2 * rows)
        panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
        for axes, modalities in zip(panels, sets, strict=True):
            _panel(axes, profiles, kind, modalities)
        panels[0].set_ylabel("F1 in %")
        panels[0].set_ylim(bottom=0)
        style.set_title(figure, CORRUPTIONS.get(kind).title, subtitle)
        handles = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        labels = [name for name in (*(profile.name for profile in profiles), style.ALWAYS) if name in handles]
        columns = min(_LEGEND_COLUMNS, len(labels))
        figure.legend([handles[name] for name in labels], labels, loc="outside lower center", ncols=columns, fontsize=9)
    return figure


def _panel(axes: Axes, profiles: Sequence[RobustnessProfile], kind: str, modalities: ModalitySet) -> None:
    ticks: set[float] = set()
    style.baseline(axes, robustness_profile.common_always_positive_f1(profiles))
    for profile, (colour, times) in zip(profiles, style.colours([each.name for each in profiles]), strict=True):
        if modalities not in profile.modality_sets(kind):
            continue
        levels, points = zip(*profile.curve(kind, modalities), strict=True)
        ticks |= set(levels)
        intervals = [mean_interval(point) for point in points]
        low, middle, high = ([100 * getattr(each, name) for each in intervals] for name in ("low", "estimate", "high"))
        axes.fill_between(levels, low, high, color=colour, alpha=0.13, linewidth=0)
        axes.plot(levels, middle, _STYLES[times % len(_STYLES)], marker="o", ms=3.5, color=colour, label=profile.name)
    axes.set_xticks(sorted(ticks), [f"{tick:g}" for tick in sorted(ticks)])
    axes.set_title(f"on {'+'.join(modalities) or ALL}", fontsize=10)
    axes.set_xlabel(CORRUPTIONS.get(kind).axis_label, fontsize=9)


def _order(modalities: ModalitySet) -> tuple[int, list[int]]:
    """Return the sort key of a modality set: single modalities first, all modalities last."""
    order = list(Modality)
    return len(modalities) or len(order) + 1, [order.index(m) for m in modalities]
