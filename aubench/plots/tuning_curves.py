"""What a search has found by when: the best validation F1 against the frames that trials were trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench.core.errors import UsageError
from aubench.plots import style
from aubench.tuning.study_files import read_study, read_trials, total_cost

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class TuningCurve:
    """How a search went.

    Attributes:
        name: Of the study.
        told: Sampler, pruner and number of trials, in words.
        frames: Frames trained on when each trial had ended, ascending.
        best: The best validation F1 until then, 0 to 1.
    """

    name: str
    trials: str
    frames: tuple[int, ...]
    best: tuple[float, ...]


def best_curve(header: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> TuningCurve:
    """How a search went, from what it left in its folder.

    A trial that was pruned costs what it was trained on, and finds nothing.

    Args:
        header: Content of ``study.json``.
        trials: What its trials say, in their order.

    Raises:
        UsageError: No trial ran to its end.
    """
    if all(trial["f1"] is None for trial in trials):
        raise UsageError("has no finished trial", where=f"study '{header['study']}'", hint="search with `aubench tune`")
    frames, best, highest = [], [], 0.0
    for number, trial in enumerate(trials, 1):
        highest = max(highest, trial["f1"] or 0.0)
        if highest:
            frames.append(total_cost([t["cost"] for t in trials[:number]])[1])
            best.append(highest)
    pruned = sum(trial["state"] == "pruned" for trial in trials)
    told = f"{header['sampler']}, pruner {header['pruner']}: {len(trials)} trials, {pruned} pruned"
    return TuningCurve(str(header["study"]), told, tuple(frames), tuple(best))


def read(runs: Path, names: Sequence[str]) -> list[TuningCurve]:
    """How some searches went.

    Raises:
        UsageError: There is no such study, or it has no finished trial.
    """
    return [best_curve(read_study(runs, name), read_trials(runs, name)) for name in names]


def plot(found: Sequence[TuningCurve], words: Sequence[str]) -> Figure:
    """A line a search.

    Args:
        found: The searches.
        words: Said below the title.
    """
    with style.styled():
        figure = style.make_figure(7.2, 4.2 + 0.2 * len(found))
        axes = figure.subplots()
        for above, (one, colour) in enumerate(zip(found, style.LINES * len(found), strict=False), 1 - len(found)):
            x, y = [frames / 1000 for frames in one.frames], [100 * value for value in one.best]
            width = 1.4 - 0.9 * above  # of searches that found the same, all are seen
            axes.step(x, y, where="post", color=colour, linewidth=width, label=f"{one.name} ({one.trials})")
            axes.plot(x[-1], y[-1], "o", ms=width + 2.5, color=colour)
        axes.set_xlabel("thousand frames trained on, all trials together")
        axes.set_ylabel("best validation F1 in %")
        axes.set_xlim(left=0)
        style.set_title(figure, "Best validation F1 by frames trained on", words)
        figure.legend(loc="outside lower center", ncols=1, fontsize=9)
    return figure
