"""Curves of studies: best validation F1 by the number of training frames of all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench.core.errors import UsageError
from aubench.plots import style
from aubench.tuning.search_config import STUDIES
from aubench.tuning.study_files import cumulative_frames, read_study, read_trial_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDEST = 3.6
"""Largest difference between the widths of two lines in points."""


@dataclass(frozen=True)
class TuningCurve:
    """Progress of a study.

    Attributes:
        name: Name of the study.
        trials: Description of sampler, pruner and number of trials.
        frames: Total training frames at the end of each trial, ascending.
        best: Best validation F1 until then, 0 to 1.
    """

    name: str
    trials: str
    frames: tuple[int, ...]
    best: tuple[float, ...]


def best_curve(header: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> TuningCurve:
    """Compute the progress of a study from ``study.json`` and the files of its trials in order.

    A pruned trial adds its training frames and has no F1.

    Raises:
        UsageError: The study has no complete trial.
    """
    if all(trial["f1"] is None for trial in trials):
        raise UsageError("has no finished trial", where=f"study '{header['study']}'", hint="run `aubench tune`")
    frames: list[int] = []
    best: list[float] = []
    for trial, total in zip(trials, cumulative_frames([trial["cost"] for trial in trials]), strict=True):
        if best or trial["f1"] is not None:
            frames.append(total)
            best.append(max([*best[-1:], trial["f1"] or 0.0]))
    pruned = sum(trial["state"] == "pruned" for trial in trials)
    summary = f"{header['sampler']}, pruner {header['pruner']}: {len(trials)} trials, {pruned} pruned"
    return TuningCurve(str(header["study"]), summary, tuple(frames), tuple(best))


def read(runs: Path, names: Sequence[str]) -> list[TuningCurve]:
    """Read the progress of studies.

    Raises:
        UsageError: A study does not exist or has no complete trial.
    """
    return [best_curve(read_study(runs, name), read_trial_files(runs / STUDIES / name)) for name in names]


def plot(curves: Sequence[TuningCurve], subtitle: Sequence[str]) -> Figure:
    """Plot a line per study."""
    with style.styled():
        labels = [f"{curve.name} ({curve.trials})" for curve in curves]
        _, width = style.legend_columns(labels, 7.2, 1)
        figure = style.make_figure(width, 4.2 + 0.2 * len(curves))
        axes = figure.subplots()
        step = min(0.9, _WIDEST / len(curves))
        for i, (curve, label) in enumerate(zip(curves, labels, strict=True)):
            x, y = [frames / 1000 for frames in curve.frames], [100 * value for value in curve.best]
            again, slot = divmod(i, len(style.PALETTE))
            colour, dashes = style.PALETTE[slot], style.DASHES[again % len(style.DASHES)]
            width = 1.4 + step * (len(curves) - 1 - i)  # equal curves stay visible below narrower ones
            axes.step(x, y, where="post", color=colour, linestyle=dashes, linewidth=width, label=label)
            axes.plot(x[-1], y[-1], "o", ms=width + 2.5, color=colour)
        axes.set_xlabel("thousand training frames of all trials")
        axes.set_ylabel("best validation F1 in %")
        axes.set_xlim(left=0)
        style.set_title(figure, "Best validation F1 by training frames", subtitle)
        style.legend(figure, axes, 1)
    return figure
