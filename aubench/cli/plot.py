"""``aubench plot``: figures of runs, methods and studies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aubench.cli.options import RUNS, Overrides, Runs, Store, parse_numbers, parse_overrides
from aubench.results.run_folder import PLOTS_DIR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aubench.runs.config import RunConfig

app = typer.Typer(help="Draw figures of a run, a method or studies.", no_args_is_help=True)

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run: runs/<protocol>/<method>/<id>.")]
_Fold = Annotated[str | None, typer.Option("--fold", help="Number or alias [default: the first finished].")]
_Frames = Annotated[int, typer.Option("--frames", min=1, max=16, help="Number of frames to show.")]
_Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="A .png or .svg [default: RUN/plots/<figure>.png].")
]


@app.command("reconstructions")
def reconstructions(
    run: _Run,
    mask: Annotated[str, typer.Option("--mask", help="Comma-separated mask ratios.")] = "0.5,0.75,0.9",
    fold: _Fold = None,
    frames: _Frames = 4,
    out: _Out = None,
    store: Store = None,
) -> None:
    """Draw reconstructions of masked frames."""
    from aubench.plots import reconstructions as plot
    from aubench.plots.frame_selection import caption

    out = _checked(out or run / PLOTS_DIR / "reconstructions.png")
    masks = _masks(mask)
    config = _load(run, store)
    number = _finished_folds(config, fold)[0]
    examples = plot.compute(config, number, masks, frames)
    _save(plot.plot(examples, caption(config, f"fold {number}, test", _label(config))), out)


@app.command("knowledge")
def knowledge(run: _Run, fold: _Fold = None, out: _Out = None, store: Store = None) -> None:
    """Draw statistics of AU pairs.

    In the labels and in the run's predictions.
    """
    from aubench.plots import au_pairs as plot
    from aubench.plots.frame_selection import caption

    out = _checked(out or run / PLOTS_DIR / "knowledge.png")
    config = _load(run, store)
    number = _finished_folds(config, fold)[0]
    subtitle = caption(config, f"fold {number}", _label(config))
    _save(plot.plot(plot.compute(config, number), config.protocol.aus, subtitle), out)


@app.command("selection")
def selection(
    run: _Run,
    fold: Annotated[str | None, typer.Option("--fold", help="Number or alias [default: all finished].")] = None,
    suite: Annotated[str, typer.Option("--suite", help="Further conditions: name or file of a suite.")] = "amf",
    out: _Out = None,
    store: Store = None,
) -> None:
    """Draw how often each modality is selected.

    On clean inputs, and under each condition of a suite.
    """
    from aubench.core.suites import find_suite
    from aubench.plots import modality_selection as plot
    from aubench.plots.frame_selection import caption

    out = _checked(out or run / PLOTS_DIR / "selection.png")
    config = _load(run, store)
    folds = _finished_folds(config, fold)
    label = f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))}"
    conditions = find_suite(suite).conditions(config.task.modalities)
    _save(plot.plot(plot.compute(config, folds, conditions), caption(config, label, _label(config))), out)


@app.command("cut-switch")
def cut_switch(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a run, finished or not.")] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="Instead of RUN: name of a method, or a .py file.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="With --method: name of a protocol, or a .toml file.")
    ] = None,
    overrides: Overrides = None,
    fold: Annotated[str, typer.Option("--fold", help="Number or alias.")] = "1",
    frames: _Frames = 4,
    out: _Out = None,
    store: Store = None,
) -> None:
    """Draw training frames before and after augmentation.

    The augmentation of the method, such as cut-switch.
    """
    from aubench.api.planning import plan_runs
    from aubench.core.errors import UsageError
    from aubench.core.registry import find_protocol
    from aubench.plots import augmentation as plot
    from aubench.plots.frame_selection import caption
    from aubench.runs.config import RunOptions

    out = _checked(out or (Path() if run is None else run / PLOTS_DIR) / "cut_switch.png")
    if run is not None and not (method or protocol or overrides):
        config = _load(run, store)
    elif run is None and method and protocol:
        narrowed, values = find_protocol(protocol), parse_overrides(overrides)
        (config,) = plan_runs([method], narrowed, RunOptions(overrides=values), [0], store)
    else:
        raise UsageError("give a run folder, or both --method and --protocol", where="plot cut-switch")
    number = config.protocol.fold_number(fold)
    examples = plot.compute(config, number, frames)
    _save(plot.plot(examples, caption(config, f"fold {number}, training")), out)


@app.command("search")
def search(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Names of studies.")],
    runs: Runs = RUNS,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A .png or .svg [default: RUNS/studies/search.png].")
    ] = None,
) -> None:
    """Draw the progress of studies.

    The best validation F1 against the number of training frames.
    """
    from aubench.plots import tuning_curves as plot
    from aubench.tuning.search_config import STUDIES
    from aubench.tuning.study_files import read_study

    out = _checked(out or runs / STUDIES / "search.png")
    headers = (read_study(runs, name) for name in studies)
    subtitle = dict.fromkeys(f"{header['method']} on {header['protocol_name']}" for header in headers)
    _save(plot.plot(plot.read(runs, studies), list(subtitle)), out)


def _load(run: Path, store: Path | None) -> RunConfig:
    from aubench._util.progress import count_progress
    from aubench.runs.loading import load_run

    with count_progress("sequences generated") as progress:
        return load_run(run, store, progress)


def _finished_folds(config: RunConfig, fold: str | None) -> list[int]:
    """Return the requested fold, or all finished folds."""
    from aubench.core.errors import UsageError
    from aubench.runs.record_builder import finished_folds

    if fold is not None:
        return [config.protocol.fold_number(fold)]
    folds = finished_folds(config)
    if not folds:
        raise UsageError("has no finished fold", where=config.run_dir, hint="finish one with `aubench run`")
    return folds


def _masks(text: str) -> list[float]:
    from aubench.core.errors import UsageError

    hint = "use numbers from 0 to below 1, such as 0.5,0.9"
    masks = parse_numbers(text, "--mask", "mask ratios", hint)
    if not all(0 <= mask < 1 for mask in masks):
        raise UsageError(f"'{text}' is not a list of mask ratios", where="--mask", hint=hint)
    return masks


def _checked(out: Path) -> Path:
    from aubench.plots import style

    style.check(out)
    return out


def _label(config: RunConfig) -> str:
    return f"run {config.run_id[:8]}"


def _save(figure: Figure, out: Path) -> None:
    from aubench.plots import style

    typer.echo(style.save(figure, out))
