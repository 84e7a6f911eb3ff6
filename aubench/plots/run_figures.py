"""Figures of a finished run: F1 per AU with the always-positive baseline, and learning curves."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aubench.core.recipe_text import recipe_text
from aubench.leaderboard.preset_differences import preset_differences
from aubench.metrics import baselines, scores
from aubench.plots import style
from aubench.plots.style import GRID, INK, QUIET
from aubench.results import record as record_file
from aubench.results.run_folder import EPOCHS, FIGURES_DIR, RECORD_DIR, fold_dir, read_json_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

F1_PER_AU = "f1_per_au.png"
LEARNING = "learning_curves.png"

_BAR = "#9FBFDF"


def plot(run_dir: Path, record: record_file.Record | None = None) -> list[Path]:
    """Plot the figures of a run to its folder ``figures``.

    Args:
        run_dir: Folder of a run with a record.
        record: The run's record; read from the folder if None.

    Returns:
        The paths of the files.

    Raises:
        RecordError: The record is missing or damaged.
    """
    record = record or record_file.read(run_dir / RECORD_DIR)
    folder = run_dir / FIGURES_DIR
    folds = [fold.fold for fold in record.info.folds]
    histories = {fold: _epochs(fold_dir(run_dir, fold) / EPOCHS) for fold in folds}
    paths = [style.save(_f1_per_au(record), folder / F1_PER_AU)]
    if any(histories.values()):
        paths.append(style.save(_learning_curves(record, histories), folder / LEARNING))
    return paths


def _f1_per_au(record: record_file.Record) -> Figure:
    totals = scores.sum_over_subjects(record.counts)
    f1 = scores.f1(totals.cells)
    baseline = scores.f1(scores.sum_over_subjects(baselines.always_positive(record)[0]).cells)
    with style.styled():
        figure = style.make_figure(max(6.0, 2.2 + 0.62 * (len(totals.aus) + 1)), 4.2)
        axes = figure.add_subplot()
        labels = [*(f"AU{au}" for au in totals.aus), "mean"]
        positions = np.array([*range(len(totals.aus)), len(totals.aus) + 0.5])
        heights = np.array([*scores.by_au(f1), scores.macro_mean(f1)])
        marks = np.array([*scores.by_au(baseline), scores.macro_mean(baseline)])
        axes.bar(positions, heights, width=0.66, color=[_BAR] * len(totals.aus) + ["#5B8DB8"], label="mean of folds")
        for i, fold in enumerate(totals.folds):
            values = [*f1[i].tolist(), scores.mean(f1[i].tolist())]
            shift = (i - (len(totals.folds) - 1) / 2) * min(0.16, 0.5 / len(totals.folds))
            axes.plot(
                positions + shift, values, "o", ms=4, color=_colour(i), mec="white", mew=0.5, label=f"fold {fold}"
            )
        axes.hlines(marks, positions - 0.4, positions + 0.4, colors=INK, linewidth=1.8, label="always positive")
        axes.axvline(len(totals.aus) - 0.25, color=GRID, linewidth=1)
        axes.set_xticks(positions, labels)
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.6, positions[-1] + 0.6)
        axes.set_ylim(0, 1)
        axes.set_ylabel("F1")
        _set_title(figure, record, f"F1 per AU: mean {heights[-1]:.3f}, always positive {marks[-1]:.3f}")
        style.legend(figure, axes)
    return figure


def _learning_curves(record: record_file.Record, histories: dict[int, list[dict[str, Any]]]) -> Figure:
    """Plot the training loss in a panel per stage, because stages have different losses, and the validation F1."""
    epochs = [epoch for epochs in histories.values() for epoch in epochs]
    stages = list(dict.fromkeys(map(_stage, epochs)))
    validated = set(map(_stage, (epoch for epoch in epochs if epoch.get("validation"))))
    panel_count = len(stages) + bool(validated)
    with style.styled():
        figure = style.make_figure(max(9.0, 3.8 * panel_count), 4.2)
        panels = figure.subplots(1, panel_count, squeeze=False)[0]
        for axes, stage in zip(panels, stages, strict=False):
            _curves(axes, histories, "loss", "total", {stage})
            axes.set_ylabel("training loss")
        if validated:
            _curves(panels[-1], histories, "validation", "f1", validated)
            _mark_best(panels[-1], record, histories)
            role = "the test role" if record.info.selection == "oracle_test" else "validation"
            panels[-1].set_ylabel(f"F1 on {role}")
            panels[-1].set_ylim(0, 1)
        if len(stages) > 1:
            for axes, shown in zip(panels, [*({stage} for stage in stages), validated], strict=False):
                _mark_stages(axes, max(histories.values(), key=len), shown)
        for axes in panels:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        _set_title(figure, record, f"Learning curves{' (dots: tested weights)' if validated else ''}")
        style.legend(figure, panels[0])
    return figure


def _curves(
    axes: Axes, histories: dict[int, list[dict[str, Any]]], kind: str, name: str, stages: Collection[str]
) -> None:
    """Plot a line per fold with a gap between stages."""
    for i, (fold, epochs) in enumerate(histories.items()):
        label = f"fold {fold}"
        for stage, numbered in groupby(enumerate(epochs, 1), key=lambda item: _stage(item[1])):
            if stage in stages:
                part = dict(numbered)
                values = [_number(epoch.get(kind), name) for epoch in part.values()]
                marker = "." if len(values) == 1 else ""
                axes.plot(list(part), values, marker=marker, color=_colour(i), lw=1.8, label=label)
                label = "_"


def _mark_best(axes: Axes, record: record_file.Record, histories: dict[int, list[dict[str, Any]]]) -> None:
    for i, (part, epochs) in enumerate(zip(record.info.folds, histories.values(), strict=True)):
        if 0 < part.best_epoch <= len(epochs):
            score = _number(epochs[part.best_epoch - 1].get("validation"), "f1")
            axes.plot(part.best_epoch, score, "o", ms=7, color=_colour(i), mec="white", mew=1.2)


def _mark_stages(axes: Axes, epochs: list[dict[str, Any]], shown: Collection[str]) -> None:
    """Add the names of the stages that a panel shows, and separate them by dashed lines."""
    names = list(map(_stage, epochs))
    starts = [i for i in range(len(names)) if names[i] in shown and (i == 0 or names[i] != names[i - 1])]
    for start in starts:
        position, transform = 0.0, axes.transAxes
        if start != starts[0]:
            axes.axvline(start + 0.5, color=QUIET, lw=1, ls="--")
            position, transform = start + 0.6, axes.get_xaxis_transform()
        axes.text(position, 1.01, names[start], transform=transform, va="bottom", fontsize=9, color=QUIET)


def _stage(epoch: dict[str, Any]) -> str:
    return str(epoch.get("stage"))


def _set_title(figure: Figure, record: record_file.Record, title: str) -> None:
    info = record.info
    subtitle = (
        info.method.title,
        f"{info.protocol.name} v{info.protocol.version}",
        " + ".join(info.method.modalities),
        f"preset {recipe_text(info.preset, preset_differences(info), info.recipe)}",
        f"seed {info.seed}",
        f"run {info.run[:8]}",
    )
    style.set_title(figure, title, subtitle)


def _number(values: Any, name: str) -> float:
    value = (values or {}).get(name)
    return float("nan") if value is None else float(value)


def _colour(fold: int) -> str:
    return style.LINES[fold % len(style.LINES)]


def _epochs(path: Path) -> list[dict[str, Any]]:
    return read_json_lines(path, "delete this file to leave out the curves of the fold") if path.is_file() else []
