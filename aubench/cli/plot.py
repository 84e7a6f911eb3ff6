"""``aubench plot``: figures of what a method shows of itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aubench.cli.options import RUNS, Runs, Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aubench.runs.config import RunConfig

app = typer.Typer(help="Draw what a method shows of itself.", no_args_is_help=True)

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder: runs/<protocol>/<method>/<id>.")]
_Fold = Annotated[str | None, typer.Option("--fold", help="By number or alias [default: the first finished].")]
_Frames = Annotated[int, typer.Option("--frames", min=1, max=16, help="How many frames to show.")]
_Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="A .png or .svg [default: RUN/plots/<figure>.png].")
]


@app.command("reconstructions")
def reconstructions(
    run: _Run,
    mask: Annotated[str, typer.Option("--mask", help="Shares to hide, separated by commas.")] = "0.5,0.75,0.9",
    fold: _Fold = None,
    frames: _Frames = 4,
    out: _Out = None,
    store: Store = None,
) -> None:
    """Draw what pre-training restores of masked frames."""
    from aubench.plots import reconstructions as plot
    from aubench.plots.frame_selection import caption

    out = _checked(out or run / "plots" / "reconstructions.png")
    masks = _masks(mask)
    plan = _opened(run, store)
    number = _finished(plan, fold)[0]
    found = plot.compute(plan, number, masks, frames)
    _save(plot.plot(found, caption(plan, f"fold {number}, test", _id(plan))), out)


@app.command("knowledge")
def knowledge(run: _Run, fold: _Fold = None, out: _Out = None, store: Store = None) -> None:
    """Draw what AU pairs do.

    In labels, and in the run's predictions.
    """
    from aubench.plots import au_pairs as plot
    from aubench.plots.frame_selection import caption

    out = _checked(out or run / "plots" / "knowledge.png")
    plan = _opened(run, store)
    number = _finished(plan, fold)[0]
    _save(plot.plot(plot.compute(plan, number), plan.protocol.aus, caption(plan, f"fold {number}", _id(plan))), out)


@app.command("selection")
def selection(
    run: _Run,
    fold: Annotated[str | None, typer.Option("--fold", help="By number or alias [default: all finished].")] = None,
    suite: Annotated[
        str, typer.Option("--suite", help="Conditions beside the clean one: a suite's name or file.")
    ] = "amf",
    out: _Out = None,
    store: Store = None,
) -> None:
    """Draw how often each modality is picked.

    Clean, and under each condition of a suite.
    """
    from aubench.core.suites import find_suite
    from aubench.plots import modality_selection as plot
    from aubench.plots.frame_selection import caption

    out = _checked(out or run / "plots" / "selection.png")
    plan = _opened(run, store)
    folds = _finished(plan, fold)
    of = f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"
    under = find_suite(suite).conditions(plan.task.modalities)
    _save(plot.plot(plot.compute(plan, folds, under), caption(plan, of, _id(plan))), out)


@app.command("cut-switch")
def cut_switch(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run's folder, finished or not.")] = None,
    method: Annotated[str | None, typer.Option("--method", help="Instead of RUN: a name or .py file.")] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="With --method: a name or .toml file.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="With --method: change a recipe value.")
    ] = None,
    fold: Annotated[str, typer.Option("--fold", help="By number or alias.")] = "1",
    frames: _Frames = 4,
    out: _Out = None,
    store: Store = None,
) -> None:
    """Draw training frames before and after augmentation.

    The method's own, such as cut-switch.
    """
    from aubench.core.errors import UsageError
    from aubench.plots import augmentation as plot
    from aubench.plots.frame_selection import caption

    folder = Path() if run is None else run / "plots"
    out = _checked(out or folder / "cut_switch.png")
    if run is not None and not (method or protocol or changes):
        plan = _opened(run, store)
    elif run is None and method and protocol:
        plan = _imagined(method, protocol, changes or [], store)
    else:
        raise UsageError("wants either a run's folder, or --method and --protocol", where="plot cut-switch")
    number = plan.protocol.fold_number(fold)
    found = plot.compute(plan, number, frames)
    _save(plot.plot(found, caption(plan, f"fold {number}, training")), out)


@app.command("search")
def search(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Names of studies.")],
    runs: Runs = RUNS,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A .png or .svg [default: RUNS/studies/search.png].")
    ] = None,
) -> None:
    """Draw what searches have found by when.

    The best validation F1 against the frames trained on.
    """
    from aubench.plots import tuning_curves as plot
    from aubench.tuning.search_config import STUDIES
    from aubench.tuning.study_files import read_study

    out = _checked(out or runs / STUDIES / "search.png")
    words = dict.fromkeys(f"{s['method']} on {s['protocol_name']}" for s in (read_study(runs, n) for n in studies))
    _save(plot.plot(plot.read(runs, studies), list(words)), out)


def _opened(run: Path, store: Path | None) -> RunConfig:
    from aubench.cli.progress import count_progress
    from aubench.runs.loading import load_run

    with count_progress("sequences made") as progress:
        return load_run(run, store, progress)


def _imagined(method: str, protocol: str, changes: list[str], store: Path | None) -> RunConfig:
    """A run that nobody has to make."""
    from aubench.cli.progress import count_progress
    from aubench.cli.run import parse_changes
    from aubench.core import registry
    from aubench.datasets.catalog import open_store
    from aubench.runs.config import StoreRef, create_run_config

    found = registry.find_protocol(protocol)
    entry = registry.find_method(method)
    with count_progress(f"{found.dataset}: sequences made") as progress:
        facts = StoreRef.from_store(open_store(found.dataset, store, progress))
    return create_run_config(
        method,
        entry,
        found,
        preset=found.preset,
        changes=parse_changes(changes),
        seed=0,
        selection="inner_val",
        precision="32-true",
        store=facts,
        runs=Path("runs"),
    )


def _finished(plan: RunConfig, fold: str | None) -> list[int]:
    """The fold that was asked for, or all that are finished."""
    from aubench.core.errors import UsageError
    from aubench.runs.runner import finished_folds

    if fold is not None:
        return [plan.protocol.fold_number(fold)]
    found = finished_folds(plan)
    if not found:
        raise UsageError("has no finished fold", where=plan.run_dir, hint="finish one with `aubench run`")
    return found


def _masks(text: str) -> list[float]:
    from aubench.core.errors import UsageError

    try:
        masks = [float(word) for word in text.split(",")]
    except ValueError:
        masks = []
    if not masks or not all(0 <= mask < 1 for mask in masks):
        raise UsageError(f"'{text}' are no shares", where="--mask", hint="numbers from 0 to below 1, such as 0.5,0.9")
    return masks


def _checked(out: Path) -> Path:
    from aubench.plots import style

    style.check(out)
    return out


def _id(plan: RunConfig) -> str:
    return f"run {plan.run_id[:8]}"


def _save(figure: Figure, out: Path) -> None:
    from aubench.plots import style

    typer.echo(style.save(figure, out))
