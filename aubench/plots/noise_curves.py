"""F1 as inputs get worse: a panel for each place where noise or masks were put, a line for each method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aubench.core.conditions import ALL, Kind
from aubench.core.task import Modality
from aubench.metrics import robustness_profile
from aubench.metrics.intervals import mean_interval
from aubench.metrics.robustness_profile import ModalitySet, RobustnessProfile
from aubench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = ("-", "--", ":")
_AXES = {"noise": "standard deviation of noise", "mask": "share of patches hidden"}
_TITLES = {"noise": "F1 under noise", "mask": "F1 with patches hidden"}
_LEGEND_COLUMNS = 4


def plot(found: Sequence[RobustnessProfile], kind: Kind, words: Sequence[str]) -> Figure | None:
    """A line a method with its interval over subjects shaded, and one of always-positive.

    None where nothing was put under this kind.

    Args:
        found: The methods.
        kind: ``noise`` or ``mask``.
        words: Said below the title.
    """
    places = sorted({place for one in found for place in one.modality_sets(kind)}, key=_order)
    if not places:
        return None
    with style.styled():
        rows = -(-(len(found) + 1) // _LEGEND_COLUMNS)
        figure = style.make_figure(max(6.4, 1.2 + 2.9 * len(places)), 4.0 + 0.2 * rows)
        panels = figure.subplots(1, len(places), sharey=True, squeeze=False)[0]
        for axes, place in zip(panels, places, strict=True):
            _panel(axes, found, kind, place)
        panels[0].set_ylabel("F1 in %")
        panels[0].set_ylim(bottom=0)
        style.set_title(figure, _TITLES[kind], words)
        handles = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        named = [name for name in (*(one.name for one in found), style.ALWAYS) if name in handles]
        shown = [handles[name] for name in named]
        figure.legend(shown, named, loc="outside lower center", ncols=min(_LEGEND_COLUMNS, len(named)), fontsize=9)
    return figure


def _panel(axes: Axes, found: Sequence[RobustnessProfile], kind: Kind, place: ModalitySet) -> None:
    ticks: set[float] = set()
    style.baseline(axes, robustness_profile.common_always_positive_f1(found))
    for one, (colour, times) in zip(found, style.colours([one.name for one in found]), strict=True):
        if place not in one.modality_sets(kind):
            continue
        levels, points = zip(*one.curve(kind, place), strict=True)
        ticks |= set(levels)
        intervals = [mean_interval(point) for point in points]
        low, middle, high = ([100 * getattr(each, name) for each in intervals] for name in ("low", "estimate", "high"))
        axes.fill_between(levels, low, high, color=colour, alpha=0.13, linewidth=0)
        axes.plot(levels, middle, _STYLES[times % len(_STYLES)], marker="o", ms=3.5, color=colour, label=one.name)
    axes.set_xticks(sorted(ticks), [f"{tick:g}" for tick in sorted(ticks)])
    axes.set_title(f"on {'+'.join(place) or ALL}", fontsize=10)
    axes.set_xlabel(_AXES[kind], fontsize=9)


def _order(place: ModalitySet) -> tuple[int, list[int]]:
    """One modality before several, and all of them last."""
    known = list(Modality)
    return len(place) or len(known) + 1, [known.index(m) for m in place]
