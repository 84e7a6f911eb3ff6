"""Functions that draw figures of runs, methods, studies and data sets.

Each function returns the file of the figure. It raises :class:`aubench.AubenchError` if an argument is invalid, a run
is not finished, or the method lacks the optional interface that the figure needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util.progress import count_progress
from aubench.api.planning import (
    AnyPath,
    Names,
    Numbers,
    Stores,
    check_count,
    check_overrides,
    parse_numbers,
    plan_runs,
    split_names,
)
from aubench.core.user_paths import user_path

if TYPE_CHECKING:
    from aubench.runs.config import RunConfig

Fold = int | str | None


def plot_reconstructions(
    run: AnyPath,
    *,
    mask: Numbers = "0.5,0.75,0.9",
    fold: Fold = None,
    frames: int = 4,
    out: AnyPath | None = None,
    store: Stores = None,
) -> Path:
    """Draw reconstructions of masked frames.

    Args:
        run: Folder of a run: runs/<protocol>/<method>/<id>.
        mask: Comma-separated mask ratios.
        fold: Number or alias [default: the first finished].
        frames: Number of frames to show.
        out: A .png or .svg [default: RUN/plots/<figure>.png].
        store: Store of the data set. Of several data sets, one each, as DIR or NAME=DIR.

    Returns:
        The file.
    """
    from aubench.core.errors import UsageError
    from aubench.plots import reconstructions, style
    from aubench.plots.frame_selection import caption

    path = _figure_path(out, run, "reconstructions")
    hint = "use numbers from 0 to below 1, such as 0.5,0.9"
    masks = parse_numbers(mask, "--mask", "mask ratios", hint)
    if not masks or not all(0 <= ratio < 1 for ratio in masks):
        raise UsageError(f"'{mask}' is not a list of mask ratios", where="--mask", hint=hint)
    frames = check_count(frames, "--frames")
    config = _load(run, store)
    number = _finished_folds(config, fold)[0]
    examples = reconstructions.compute(config, number, masks, frames)
    subtitle = caption(config, f"fold {number}, test", f"run {config.run_id[:8]}")
    return style.save(reconstructions.plot(examples, subtitle), path)


def plot_knowledge(run: AnyPath, *, fold: Fold = None, out: AnyPath | None = None, store: Stores = None) -> Path:
    """Draw statistics of AU pairs.

    In the labels and in the run's predictions.

    Args:
        run: Folder of a run: runs/<protocol>/<method>/<id>.
        fold: Number or alias [default: the first finished].
        out: A .png or .svg [default: RUN/plots/<figure>.png].
        store: Store of the data set. Of several data sets, one each, as DIR or NAME=DIR.

    Returns:
        The file.
    """
    from aubench.plots import au_pairs, style
    from aubench.plots.frame_selection import caption

    path, config = _figure_path(out, run, "knowledge"), _load(run, store)
    number = _finished_folds(config, fold)[0]
    subtitle = caption(config, f"fold {number}", f"run {config.run_id[:8]}")
    return style.save(au_pairs.plot(au_pairs.compute(config, number), config.protocol.aus, subtitle), path)


def plot_selection(
    run: AnyPath,
    *,
    fold: Fold = None,
    suite: str = "amf",
    out: AnyPath | None = None,
    store: Stores = None,
) -> Path:
    """Draw how often each modality is selected.

    On clean inputs, and under each condition of a suite.

    Args:
        run: Folder of a run: runs/<protocol>/<method>/<id>.
        fold: Number or alias [default: all finished].
        suite: Further conditions: name or file of a suite.
        out: A .png or .svg [default: RUN/plots/<figure>.png].
        store: Store of the data set. Of several data sets, one each, as DIR or NAME=DIR.

    Returns:
        The file.
    """
    from aubench.core.suites import find_suite
    from aubench.plots import modality_selection, style
    from aubench.plots.frame_selection import caption

    path, config = _figure_path(out, run, "selection"), _load(run, store)
    folds = _finished_folds(config, fold)
    label = f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))}"
    proportions = modality_selection.compute(config, folds, find_suite(suite).conditions(config.task.modalities))
    subtitle = caption(config, label, f"run {config.run_id[:8]}")
    return style.save(modality_selection.plot(proportions, subtitle), path)


def plot_cut_switch(
    run: AnyPath | None = None,
    *,
    method: str | None = None,
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    fold: int | str = "1",
    frames: int = 4,
    out: AnyPath | None = None,
    store: Stores = None,
) -> Path:
    """Draw training frames before and after augmentation.

    The augmentation of the method, such as cut-switch.

    Args:
        run: Folder of a run, finished or not.
        method: Instead of RUN: name of a method, or a .py file.
        protocol: With --method: name of a protocol, or a .toml file.
        overrides: Recipe values that differ from the preset.
        fold: Number or alias.
        frames: Number of frames to show.
        out: A .png or .svg [default: RUN/plots/<figure>.png].
        store: Store of the data set. Of several data sets, one each, as DIR or NAME=DIR.

    Returns:
        The file.
    """
    from aubench.core.errors import UsageError
    from aubench.core.registry import find_method, find_protocol
    from aubench.plots import augmentation, style
    from aubench.plots.frame_selection import caption
    from aubench.runs.run_options import RunOptions

    path = _figure_path(out, run, "cut_switch")
    frames = check_count(frames, "--frames")
    if run is not None and not (method or protocol or overrides):
        config = _load(run, store)
    elif run is None and method and protocol:
        options = RunOptions(overrides=check_overrides(overrides))
        find_method(method)  # plan_runs accepts several
        (config,) = plan_runs([method], find_protocol(protocol), options, [0], store)
    else:
        raise UsageError("give a run folder, or both --method and --protocol", where="plot cut-switch")
    number = config.protocol.fold_number(str(fold))
    examples = augmentation.compute(config, number, frames)
    return style.save(augmentation.plot(examples, caption(config, f"fold {number}, training")), path)


def plot_studies(studies: Names, *, runs: AnyPath = "runs", out: AnyPath | None = None) -> Path:
    """Draw the progress of studies.

    The best validation F1 against the number of training frames.

    Args:
        studies: Names of studies.
        runs: Folder of all runs.
        out: A .png or .svg [default: RUNS/studies/search.png].

    Returns:
        The file.
    """
    from aubench.core.errors import UsageError
    from aubench.plots import style, tuning_curves
    from aubench.tuning.search_config import STUDIES
    from aubench.tuning.study_files import read_study

    folder, names = user_path(runs), split_names(studies)
    if not names:
        raise UsageError("names no study", where="studies", hint="give the name of one or more")
    path = folder / STUDIES / "search.png" if out is None else user_path(out)
    style.check(path)
    headers = (read_study(folder, name) for name in names)
    subtitle = dict.fromkeys(f"{header['method']} on {header['protocol_name']}" for header in headers)
    return style.save(tuning_curves.plot(tuning_curves.read(folder, names), list(subtitle)), path)


def draw_store(dataset: str, out: AnyPath, *, store: AnyPath | None = None) -> Path:
    """Draw a contact sheet of a store.

    It shows random frames of the store, or every AU of a rendered data set.

    Args:
        dataset: Name of the data set.
        out: PNG file to write.
        store: Folder of the store [default: $AUBENCH_STORES/<dataset>].

    Returns:
        The file.
    """
    from aubench.plots import contact_sheet, style

    path = user_path(out)
    style.check(path)
    return contact_sheet.draw(dataset, None if store is None else user_path(store), path)


def draw_leaderboard(protocol: str, out: AnyPath, *, kind: str = "table", root: AnyPath = "leaderboard") -> Path:
    """Draw the first table of a protocol, or its learning curves.

    Args:
        protocol: Protocol to draw.
        out: A .png or .svg.
        kind: table (F1 and rank of each method), or curves (validation F1 by training frames).
        root: Folder of the leaderboard.

    Returns:
        The file.
    """
    from aubench.core.errors import UsageError, suggest
    from aubench.plots import leaderboard_plot, learning_curve_plot

    functions = {"table": leaderboard_plot.plot, "curves": learning_curve_plot.plot}
    if kind not in functions:
        raise UsageError(f"cannot draw '{kind}'", where="--kind", hint=suggest(kind, functions))
    return functions[kind](user_path(root), protocol, user_path(out))


def _figure_path(out: AnyPath | None, run: AnyPath | None, name: str) -> Path:
    """Return the file of a figure, by default in the run's folder or else in the working directory."""
    from aubench.plots import style
    from aubench.results.run_folder import PLOTS_DIR

    default = Path(f"{name}.png") if run is None else user_path(run) / PLOTS_DIR / f"{name}.png"
    path = default if out is None else user_path(out)
    style.check(path)
    return path


def _load(run: AnyPath, store: Stores) -> RunConfig:
    from aubench.runs.loading import load_run

    with count_progress("sequences generated") as progress:
        return load_run(user_path(run), store, progress)


def _finished_folds(config: RunConfig, fold: Fold) -> list[int]:
    """Return the requested fold, or all finished folds."""
    from aubench.core.errors import UsageError
    from aubench.runs.record_builder import finished_folds

    folds = finished_folds(config) if fold is None else config.protocol.fold_numbers(fold)
    if not folds:
        raise UsageError("has no finished fold", where=config.run_dir, hint="finish one with `aubench run`")
    return folds
