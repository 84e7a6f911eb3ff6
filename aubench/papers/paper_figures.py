"""Figures of papers: the runs that each needs, and the function that draws it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aubench.core.registry import find_method
from aubench.core.suites import find_suite
from aubench.core.task import Modality
from aubench.metrics import robustness_profile
from aubench.metrics.intervals import ConfidenceInterval, f1_interval
from aubench.metrics.robustness_profile import RobustnessProfile
from aubench.papers.row_specs import ReproductionConfig, ResolvedRow, RowSpec
from aubench.plots import au_pairs, curves, reconstructions, robustness_figures
from aubench.plots.frame_selection import caption

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VD, V = (Modality.VISUAL, Modality.DEPTH), (Modality.VISUAL,)
SWEPT = {"pretrain_epochs": "epochs of pre-training", "mask": "share of patches hidden in pre-training"}
MASKS = (0.25, 0.5, 0.75, 0.9)
QUARTERS = 4
_FRAMES = 4


@dataclass(frozen=True)
class PaperFigure:
    """Figure of a paper.

    Attributes:
        title: Source and content.
        rows: Function that returns the rows that the figure needs.
        draw: Function that draws the figure from resolved rows; the second argument is its subtitle. It returns None
            if no row has runs.
        has_numbers: Whether the figure shows F1, so that its numbers are written too.
    """

    title: str
    rows: Callable[[ReproductionConfig], tuple[RowSpec, ...]]
    draw: Callable[[Sequence[ResolvedRow], Sequence[str]], Figure | None]
    has_numbers: bool = True


def _condition_rows(kind: str) -> Callable[[ReproductionConfig], tuple[RowSpec, ...]]:
    """Return late fusion, CAM and AMF under the conditions of one kind of AMF's suite."""

    def rows(config: ReproductionConfig) -> tuple[RowSpec, ...]:
        conditions = tuple(condition for condition in find_suite("amf").conditions(VD) if condition.kind == kind)
        return tuple(
            RowSpec(method, modalities=VD, conditions=conditions, label=method)
            for method in ("late_fusion", "cam", "amf")
        )

    return rows


def _sweep_rows(config: ReproductionConfig) -> tuple[RowSpec, ...]:
    """Return MCM with 0, 1/4, 1/2, 3/4 and all of the pre-training epochs, then with each mask ratio."""
    total = int(config.recipe(find_method("mcm")).model_dump()["pretrain_epochs"])
    epochs = dict.fromkeys(round(total * quarter / QUARTERS) for quarter in range(QUARTERS + 1))
    settings = [("pretrain_epochs", value) for value in epochs] + [("mask", value) for value in MASKS]
    return tuple(RowSpec("mcm", {key: value}, VD, label=f"{SWEPT[key]}: {value:g}") for key, value in settings)


def _profiles(rows: Sequence[ResolvedRow]) -> list[RobustnessProfile]:
    profiles = []
    for row in (row for row in rows if row.configs):
        counts, modalities = [record.counts for record in row.records()], row.configs[0].task.modalities
        profiles.append(robustness_profile.build_profile(row.spec.label, modalities, counts, row.spec.conditions))
    return profiles


def _draw_bars(rows: Sequence[ResolvedRow], subtitle: Sequence[str]) -> Figure | None:
    return robustness_figures.bars(_profiles(rows), [*subtitle, "lines: 95 % interval over subjects"])


def _draw_curves(rows: Sequence[ResolvedRow], subtitle: Sequence[str]) -> Figure | None:
    return curves.plot_levels(_profiles(rows), "noise", [*subtitle, "shaded: 95 % interval over subjects"])


def _draw_sweep(rows: Sequence[ResolvedRow], subtitle: Sequence[str]) -> Figure | None:
    panels: defaultdict[str, dict[float, ConfidenceInterval]] = defaultdict(dict)
    for row in (row for row in rows if row.configs):
        ((key, value),) = row.spec.settings.items()
        panels[SWEPT[key]][value] = f1_interval([record.counts for record in row.records()])
    if not panels:
        return None
    return curves.plot_sweep(panels, "F1 by pre-training", ["MCM", *subtitle, "shaded: 95 % interval over subjects"])


def _draw_reconstructions(
    masks: Sequence[float],
) -> Callable[[Sequence[ResolvedRow], Sequence[str]], Figure | None]:
    """Return a function that draws reconstructions by the first fold of the first seed."""

    def draw(rows: Sequence[ResolvedRow], subtitle: Sequence[str]) -> Figure | None:
        if not rows[0].configs:
            return None
        config = rows[0].configs[0]
        examples = reconstructions.compute(config, 1, masks, _FRAMES)
        return reconstructions.plot(examples, caption(config, "fold 1, test", f"run {config.run_id[:8]}"))

    return draw


def _draw_au_pairs(rows: Sequence[ResolvedRow], subtitle: Sequence[str]) -> Figure | None:
    if not rows[0].configs:
        return None
    config = rows[0].configs[0]
    statistics = au_pairs.compute(config, 1)
    return au_pairs.plot(statistics, config.protocol.aus, caption(config, "fold 1", f"run {config.run_id[:8]}"))


def _weight_row(method: str, modalities: tuple[Modality, ...]) -> Callable[[ReproductionConfig], tuple[RowSpec, ...]]:
    return lambda config: (RowSpec(method, modalities=modalities, weights=True, label=method),)


FIGURES: dict[str, PaperFigure] = {
    "amf-figure-4": PaperFigure("AMF, Fig. 4: F1 with a modality missing", _condition_rows("missing"), _draw_bars),
    "amf-figure-5": PaperFigure("AMF, Fig. 5: F1 under noise", _condition_rows("noise"), _draw_curves),
    "mcm-figure-4": PaperFigure(
        "MCM, Fig. 4: reconstructions by share of the mask",
        _weight_row("mcm", VD),
        _draw_reconstructions((0.5, 0.75, 0.9)),
        has_numbers=False,
    ),
    "mcm-figure-6": PaperFigure("MCM, Fig. 6: F1 by epochs and by mask of pre-training", _sweep_rows, _draw_sweep),
    "au-vmae-figure-6": PaperFigure(
        "AU-vMAE, Fig. 6: knowledge of AU pairs in labels and predictions",
        _weight_row("au_vmae", V),
        _draw_au_pairs,
        has_numbers=False,
    ),
    "au-vmae-appendix-figure-1": PaperFigure(
        "AU-vMAE, appendix, Fig. 1: reconstructions by share of the mask",
        _weight_row("au_vmae", V),
        _draw_reconstructions((0.0, 0.5, 0.9)),
        has_numbers=False,
    ),
}
"""Figures that can be reproduced, by name."""
