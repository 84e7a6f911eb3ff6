"""Figures of papers: the runs that each needs, and the function that draws it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aubench.core.registry import find_method
from aubench.core.suites import find_suite
from aubench.core.task import Modality
from aubench.metrics import robustness_profile
from aubench.metrics.intervals import ConfidenceInterval, f1_interval
from aubench.metrics.robustness_profile import RobustnessProfile
from aubench.papers import untrained_figures
from aubench.papers.row_specs import ReproductionConfig, ResolvedRow, RowSpec
from aubench.plots import au_pairs, curves, reconstructions, robustness_figures
from aubench.plots.frame_selection import caption

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aubench.runs.config import RunConfig

V, VD, VDT = (Modality.VISUAL,), (Modality.VISUAL, Modality.DEPTH), tuple(Modality)
_EPOCHS = "epochs of pre-training"
SWEPT = {
    "pretrain_epochs": _EPOCHS,
    "pretrain_checkpoint": _EPOCHS,
    "mask": "share of patches hidden in pre-training",
}
MASKS = (0.25, 0.5, 0.75, 0.9)
QUARTERS = 4
_FRAMES = 4
_DISFA = "shows frames of DISFA by a model of another data set, and figures show a run's own data set"
_DIAGRAM = "is a diagram without data"

Rows = Callable[[ReproductionConfig], tuple[RowSpec, ...]]


@dataclass(frozen=True)
class PaperFigure:
    """Figure of a paper.

    Attributes:
        title: Source and content.
        rows: Function that returns the rows that the figure needs.
        draw: Function that draws the figure from resolved rows; the second argument is its subtitle. It returns None
            if no row can be made.
        reason: Reason why it cannot be made; empty if it can.
    """

    title: str
    rows: Rows = lambda config: ()
    draw: Callable[[Sequence[ResolvedRow], Sequence[str]], Figure | None] = lambda rows, subtitle: None
    reason: str = ""


def _condition_rows(kind: str) -> Rows:
    """Return late fusion, CAM and AMF under the conditions of one kind of AMF's suite."""

    def rows(config: ReproductionConfig) -> tuple[RowSpec, ...]:
        conditions = tuple(condition for condition in find_suite("amf").conditions(VD) if condition.kind == kind)
        return tuple(
            RowSpec(method, modalities=VD, conditions=conditions, label=method)
            for method in ("late_fusion", "cam", "amf")
        )

    return rows


def _sweep_rows(dataset: str, modalities: tuple[Modality, ...], epoch_settings: Mapping[str, Any]) -> Rows:
    """Return MCM from 0, 1/4, 1/2, 3/4 and all of its epochs of pre-training, then with each mask ratio.

    The last setting of a row is the swept one.
    """

    def rows(config: ReproductionConfig) -> tuple[RowSpec, ...]:
        version = _second_version(config) if dataset == "bp4dplus" else {}
        recipe = config.recipe(find_method("mcm"), version).model_dump()
        total = min(recipe["pretrain_epochs"], recipe["pretrain_checkpoint"] or recipe["pretrain_epochs"])
        epochs = dict.fromkeys(round(total * quarter / QUARTERS) for quarter in range(QUARTERS + 1))
        swept = [("pretrain_checkpoint" if value else "pretrain_epochs", value, epoch_settings) for value in epochs]
        return tuple(
            RowSpec(
                "mcm",
                {**{name: v for name, v in version.items() if name != key}, **settings, key: value},
                modalities,
                dataset,
                dataset,
                label=f"{SWEPT[key]}: {value:g}",
            )
            for key, value, settings in [*swept, *(("mask", mask, {}) for mask in MASKS)]
        )

    return rows


def _second_version(config: ReproductionConfig) -> Mapping[str, Any]:
    """Return the settings of MCM's second version, which differ at full size."""
    return find_method("mcm").method_class.Recipe.all_presets()["paper_v2"] if config.preset == "paper" else {}


def _profiles(rows: Sequence[ResolvedRow]) -> list[RobustnessProfile]:
    profiles = []
    for row in (row for row in rows if row.configs):
        counts, modalities = [record.counts for record in row.records], row.configs[0].task.modalities
        profiles.append(robustness_profile.build_profile(row.spec.label, modalities, counts, row.spec.conditions))
    return profiles


def _draw_bars(rows: Sequence[ResolvedRow], subtitle: Sequence[str]) -> Figure | None:
    return robustness_figures.bars(_profiles(rows), [*subtitle, "lines: 95 % interval over subjects"])


def _draw_curves(rows: Sequence[ResolvedRow], subtitle: Sequence[str]) -> Figure | None:
    return curves.plot_levels(_profiles(rows), "noise", [*subtitle, "shaded: 95 % interval over subjects"])


def _draw_sweep(rows: Sequence[ResolvedRow], subtitle: Sequence[str]) -> Figure | None:
    panels: defaultdict[str, dict[float, ConfidenceInterval]] = defaultdict(dict)
    for row in (row for row in rows if row.configs):
        *_, (key, value) = row.spec.settings.items()
        panels[SWEPT[key]][value] = f1_interval([record.counts for record in row.records])
    if not panels:
        return None
    return curves.plot_sweep(panels, "F1 by pre-training", ["MCM", *subtitle, "shaded: 95 % interval over subjects"])


def _of_first(draw: Callable[[RunConfig], Figure]) -> Callable[[Sequence[ResolvedRow], Sequence[str]], Figure | None]:
    """Return a function that draws the configuration of the first row, which has the first seed."""
    return lambda rows, subtitle: draw(rows[0].configs[0]) if rows[0].configs else None


def _reconstructions(masks: Sequence[float], rows: Rows, title: str) -> PaperFigure:
    """Return the figure of reconstructions in the first fold."""

    def draw(config: RunConfig) -> Figure:
        examples = reconstructions.compute(config, 1, masks, _FRAMES)
        return reconstructions.plot(examples, caption(config, "fold 1, test", f"run {config.run_id[:8]}"))

    return PaperFigure(f"{title}: reconstructions by share of the mask", rows, _of_first(draw))


def _draw_au_pairs(config: RunConfig) -> Figure:
    statistics = au_pairs.compute(config, 1)
    return au_pairs.plot(statistics, config.protocol.aus, caption(config, "fold 1", f"run {config.run_id[:8]}"))


def _weight_row(method: str, modalities: tuple[Modality, ...], dataset: str = "bp4d") -> Rows:
    def rows(config: ReproductionConfig) -> tuple[RowSpec, ...]:
        settings = _second_version(config) if dataset == "bp4dplus" else {}
        return (RowSpec(method, settings, modalities, dataset, dataset, weights=True, label=method),)

    return rows


def _untrained(
    title: str,
    draw: Callable[[RunConfig], Figure],
    method: str,
    modalities: tuple[Modality, ...],
    dataset: str = "bp4d",
    settings: Mapping[str, Any] | None = None,
) -> PaperFigure:
    """Return a figure of inputs or labels, with random weights."""
    recipe = {"weights": "none", **(settings or {})}
    spec = RowSpec(method, recipe, modalities, dataset, dataset, trained=False, label=method)
    return PaperFigure(title, lambda config: (spec,), _of_first(draw))


FIGURES: dict[str, PaperFigure] = {
    "amf-figure-1": PaperFigure("AMF, Fig. 1: the model", reason=_DIAGRAM),
    "amf-figure-2": _untrained(
        "AMF, Fig. 2: cut-switch", untrained_figures.cut_switch, "amf", VDT, "bp4dplus", {"cut_switch": 0.5}
    ),
    "amf-figure-3": _untrained("AMF, Fig. 3: images with noise", untrained_figures.noise, "amf", VD),
    "amf-figure-4": PaperFigure("AMF, Fig. 4: F1 with a modality missing", _condition_rows("missing"), _draw_bars),
    "amf-figure-5": PaperFigure("AMF, Fig. 5: F1 under noise", _condition_rows("noise"), _draw_curves),
    "mcm-figure-1": _untrained("MCM, Fig. 1: images with mixed channels", untrained_figures.mixed_channels, "mcm", VD),
    "mcm-figure-2": PaperFigure("MCM, Fig. 2: the model in pre-training", reason=_DIAGRAM),
    "mcm-figure-3": PaperFigure("MCM, Fig. 3: the model in fine-tuning", reason=_DIAGRAM),
    "mcm-figure-4": _reconstructions((0.5, 0.75, 0.9), _weight_row("mcm", VD), "MCM, Fig. 4"),
    "mcm-figure-5": PaperFigure("MCM, Fig. 5: reconstructions of another data set", reason=_DISFA),
    "mcm-figure-6": PaperFigure(
        "MCM, Fig. 6: F1 by epochs and by mask of pre-training", _sweep_rows("bp4d", VD, {}), _draw_sweep
    ),
    "mcm-supplement-figure-1": PaperFigure(
        "MCM, supplement, Fig. 1: F1 by epochs and by mask of pre-training",
        _sweep_rows("bp4dplus", VDT, {"inputs": "visual"}),
        _draw_sweep,
    ),
    "mcm-supplement-figure-2": _reconstructions(
        (0.5, 0.75, 0.9), _weight_row("mcm", VDT, "bp4dplus"), "MCM, supplement, Fig. 2"
    ),
    "mcm-supplement-figure-3": PaperFigure(
        "MCM, supplement, Fig. 3: reconstructions of another data set", reason=_DISFA
    ),
    "au-vmae-figure-1": PaperFigure("AU-vMAE, Fig. 1: relations of AUs", reason=_DIAGRAM),
    "au-vmae-figure-2": PaperFigure("AU-vMAE, Fig. 2: the model", reason=_DIAGRAM),
    "au-vmae-figure-3": _untrained(
        "AU-vMAE, Fig. 3: co-occurrence of AUs in labels", untrained_figures.label_pairs, "au_vmae", V
    ),
    "au-vmae-figure-4": PaperFigure("AU-vMAE, Fig. 4: states of two AUs", reason=_DIAGRAM),
    "au-vmae-figure-5": _untrained(
        "AU-vMAE, Fig. 5: labels with and without clips of rare AUs",
        untrained_figures.label_bars,
        "au_vmae",
        V,
        settings={"minority_clips": True},
    ),
    "au-vmae-figure-6": PaperFigure(
        "AU-vMAE, Fig. 6: knowledge of AU pairs in labels and predictions",
        _weight_row("au_vmae", V),
        _of_first(_draw_au_pairs),
    ),
    "au-vmae-appendix-figure-1": _reconstructions(
        (0.0, 0.5, 0.9), _weight_row("au_vmae", V), "AU-vMAE, appendix, Fig. 1"
    ),
    "au-vmae-appendix-figure-2": PaperFigure("AU-vMAE, appendix, Fig. 2: clips of rare AUs", reason=_DIAGRAM),
}
"""Figures of the papers, by name."""
