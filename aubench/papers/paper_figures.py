"""The papers' figures: the runs that each takes, and how it is drawn from them."""

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
from aubench.plots import au_pairs, noise_curves, reconstructions, robustness_bars, sweeps
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
    """A figure of a paper.

    Attributes:
        title: What it shows, and whose it is.
        rows: The runs that it takes.
        draw: Draws it from these; the words are said below its title.
        tabled: Whether F1 is what it shows, so that its numbers are written too.
    """

    title: str
    rows: Callable[[ReproductionConfig], tuple[RowSpec, ...]]
    draw: Callable[[Sequence[ResolvedRow], Sequence[str]], Figure | None]
    tabled: bool = True


def _under(kind: str) -> Callable[[ReproductionConfig], tuple[RowSpec, ...]]:
    """Late fusion, CAM and AMF under the conditions of a kind of AMF's suite."""

    def rows(terms: ReproductionConfig) -> tuple[RowSpec, ...]:
        conditions = tuple(one for one in find_suite("amf").conditions(VD) if one.kind == kind)
        return tuple(
            RowSpec(method, modalities=VD, conditions=conditions, label=method)
            for method in ("late_fusion", "cam", "amf")
        )

    return rows


def _swept(terms: ReproductionConfig) -> tuple[RowSpec, ...]:
    """MCM on both modalities: no, a quarter, half, three quarters and all of the pre-training; then the masks."""
    recipe = find_method("mcm").method_class.Recipe.from_preset(terms.preset, terms.changes)
    whole = int(recipe.model_dump()["pretrain_epochs"])
    epochs = dict.fromkeys(round(whole * quarter / QUARTERS) for quarter in range(QUARTERS + 1))
    found = [("pretrain_epochs", value) for value in epochs] + [("mask", value) for value in MASKS]
    return tuple(RowSpec("mcm", {key: value}, VD, label=f"{SWEPT[key]}: {value:g}") for key, value in found)


def _profiles(found: Sequence[ResolvedRow]) -> list[RobustnessProfile]:
    profiles = []
    for one in (one for one in found if one.configs):
        counts = [record.counts for record in one.records()]
        modalities = one.configs[0].task.modalities
        profiles.append(robustness_profile.build_profile(one.spec.label, modalities, counts, one.spec.conditions))
    return profiles


def _bars(found: Sequence[ResolvedRow], words: Sequence[str]) -> Figure | None:
    return robustness_bars.bars(_profiles(found), [*words, "lines: 95 % interval over subjects"])


def _curves(found: Sequence[ResolvedRow], words: Sequence[str]) -> Figure | None:
    return noise_curves.plot(_profiles(found), "noise", [*words, "shaded: 95 % interval over subjects"])


def _sweep(found: Sequence[ResolvedRow], words: Sequence[str]) -> Figure | None:
    panels: defaultdict[str, dict[float, ConfidenceInterval]] = defaultdict(dict)
    for one in (one for one in found if one.configs):
        ((key, value),) = one.spec.settings.items()
        panels[SWEPT[key]][value] = f1_interval([record.counts for record in one.records()])
    if not panels:
        return None
    return sweeps.plot(panels, "F1 by pre-training", ["MCM", *words, "shaded: 95 % interval over subjects"])


def _restored(masks: Sequence[float]) -> Callable[[Sequence[ResolvedRow], Sequence[str]], Figure | None]:
    """Reconstructions by the first seed's first fold."""

    def draw(found: Sequence[ResolvedRow], words: Sequence[str]) -> Figure | None:
        plans = found[0].configs
        if not plans:
            return None
        made = reconstructions.compute(plans[0], 1, masks, _FRAMES)
        return reconstructions.plot(made, caption(plans[0], "fold 1, test", f"run {plans[0].run_id[:8]}"))

    return draw


def _known(found: Sequence[ResolvedRow], words: Sequence[str]) -> Figure | None:
    plans = found[0].configs
    if not plans:
        return None
    made = au_pairs.compute(plans[0], 1)
    return au_pairs.plot(made, plans[0].protocol.aus, caption(plans[0], "fold 1", f"run {plans[0].run_id[:8]}"))


def _one(method: str, modalities: tuple[Modality, ...]) -> Callable[[ReproductionConfig], tuple[RowSpec, ...]]:
    return lambda terms: (RowSpec(method, modalities=modalities, weights=True, label=method),)


FIGURES: dict[str, PaperFigure] = {
    "amf-figure-4": PaperFigure("AMF, Fig. 4: F1 with a modality missing", _under("missing"), _bars),
    "amf-figure-5": PaperFigure("AMF, Fig. 5: F1 under noise", _under("noise"), _curves),
    "mcm-figure-4": PaperFigure(
        "MCM, Fig. 4: reconstructions by share of the mask",
        _one("mcm", VD),
        _restored((0.5, 0.75, 0.9)),
        tabled=False,
    ),
    "mcm-figure-6": PaperFigure("MCM, Fig. 6: F1 by epochs and by mask of pre-training", _swept, _sweep),
    "au-vmae-figure-6": PaperFigure(
        "AU-vMAE, Fig. 6: knowledge of AU pairs in labels and predictions", _one("au_vmae", V), _known, tabled=False
    ),
    "au-vmae-appendix-figure-1": PaperFigure(
        "AU-vMAE, appendix, Fig. 1: reconstructions by share of the mask",
        _one("au_vmae", V),
        _restored((0.0, 0.5, 0.9)),
        tabled=False,
    ),
}
"""Every figure that can be made, by name."""
