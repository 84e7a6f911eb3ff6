"""``aubench robustness``: finished runs under conditions, as tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aubench.cli.options import RUNS, Device, Runs, Store, TableFormat

if TYPE_CHECKING:
    from aubench.core.suites import Suite
    from aubench.runs.config import RunConfig


def robustness(
    suite: Annotated[
        str, typer.Option("--suite", help="amf, every_subset, mask, or a .toml file of conditions.")
    ] = "amf",
    noise: Annotated[
        str | None,
        typer.Option("--noise", metavar="SIGMAS", help="Standard deviations, by commas, instead of the suite's."),
    ] = None,
    method: Annotated[str | None, typer.Option("--method", help="Only these, by name, separated by commas.")] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Only these, by name, separated by commas.")
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option("--run", metavar="RUN", help="Only this run, by folder or id; repeatable.")
    ] = None,
    runs: Runs = RUNS,
    store: Store = None,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where to write [default: robustness/<protocol>].")
    ] = None,
    form: TableFormat = "markdown",
    track: Annotated[bool, typer.Option("--track/--no-track", help="Send what is new to MLflow.")] = True,
) -> None:
    """Test finished runs under noise and without modalities.

    What was evaluated before is not evaluated again.
    """
    from aubench.core.errors import AubenchError, UsageError, suggest
    from aubench.core.suites import find_suite
    from aubench.leaderboard.robustness_tables import FORMATS
    from aubench.runs import scheduler

    if form not in FORMATS:
        raise UsageError(f"no format '{form}'", where="--format", hint=suggest(form, FORMATS))
    chosen = find_suite(suite)
    if noise is not None:
        chosen = chosen.with_noise(_sigmas(noise))
    folders = _folders(runs, run or [], method, protocol)
    scheduler.preload_workers()
    plans = _opened(folders, store)
    names = sorted({plan.protocol.name for plan in plans})
    if out is not None and len(names) > 1:
        raise UsageError(f"runs are of {', '.join(names)}", where="--out", hint="name one with --protocol")
    try:
        _evaluate(plans, chosen, device, track)
    except AubenchError:
        _report_all([plan for plan in plans if _whole(plan, chosen)], chosen, out, form)
        raise
    _report_all(plans, chosen, out, form)


def _sigmas(text: str) -> tuple[float, ...]:
    from aubench.core.errors import UsageError

    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"'{text}' are no standard deviations", where="--noise", hint="e.g. 0.1,0.2,0.5,0.8") from None


def _folders(runs: Path, wanted: list[str], method: str | None, protocol: str | None) -> list[Path]:
    """Folders of the runs that were asked for, finished or not."""
    from aubench.core.errors import UsageError, suggest
    from aubench.tracking.run_export import find_runs

    found = find_runs(runs, wanted)
    if not found:
        raise UsageError(
            "no finished run", where=runs, hint="make one with `aubench run`, or name its folder by --runs"
        )
    for option, words, name_of in (("--protocol", protocol, _protocol_of), ("--method", method, _method_of)):
        if words is None:
            continue
        there, names = {name_of(folder) for folder in found}, {word.strip() for word in words.split(",")}
        for name in sorted(names - there):
            raise UsageError(f"no run of '{name}'", where=option, hint=suggest(name, there))
        found = [folder for folder in found if name_of(folder) in names]
    return found


def _method_of(folder: Path) -> str:
    return folder.parent.name


def _protocol_of(folder: Path) -> str:
    return folder.parent.parent.name


def _opened(folders: list[Path], store: Path | None) -> list[RunConfig]:
    from aubench.cli.progress import count_progress, print_line
    from aubench.core.errors import UsageError
    from aubench.runs.loading import load_finished_runs

    with count_progress("sequences made") as progress:
        opened = load_finished_runs(folders, store, progress)
    for folder, why in opened.skipped:
        print_line(f"passed over {folder}: {why}")
    if not opened.configs:
        raise UsageError(f"no finished run among {len(folders)}", hint="finish one with `aubench run`")
    return list(opened.configs)


def _evaluate(plans: list[RunConfig], suite: Suite, device: str, track: bool) -> None:
    from contextlib import nullcontext

    from aubench.cli.progress import print_line
    from aubench.cli.run_progress import show_conditions
    from aubench.runs import devices
    from aubench.runs.runner import evaluate_conditions
    from aubench.tracking import background

    tracking = background.background([plan.run_dir for plan in plans], say=print_line) if track else nullcontext()
    with tracking:
        evaluate_conditions(
            plans, lambda plan: suite.conditions(plan.task.modalities), devices.choose(device), show_conditions
        )


def _whole(plan: RunConfig, suite: Suite) -> bool:
    """Whether every fold was put under every condition."""
    from aubench.runs import condition_scores
    from aubench.runs.runner import finished_folds

    conditions = suite.conditions(plan.task.modalities)
    return not any(condition_scores.missing_conditions(plan, fold, conditions) for fold in finished_folds(plan))


def _report_all(plans: list[RunConfig], suite: Suite, out: Path | None, form: str) -> None:
    """Tell of the runs of each protocol together."""
    for name in sorted({plan.protocol.name for plan in plans}):
        own = [plan for plan in plans if plan.protocol.name == name]
        _report(own, suite, out or Path("robustness", name), form)


def _report(plans: list[RunConfig], suite: Suite, out: Path, form: str) -> None:
    from aubench._util import atomic
    from aubench.leaderboard import robustness_tables as board
    from aubench.leaderboard.records import StoredRecord
    from aubench.plots import robustness_figures as plots
    from aubench.results import record
    from aubench.runs.runner import RECORD_DIR

    kept = [StoredRecord(folder, record.read(folder)) for folder in (plan.run_dir / RECORD_DIR for plan in plans)]
    found = board.profiles(kept, suite.conditions)
    protocol, seeds = plans[0].protocol, len({plan.seed for plan in plans})
    tables = board.make_tables(found)
    title = f"{protocol.name}: {suite.title}"
    pages = board.render(tables, title, form)
    for name, text in pages.items():
        atomic.write_text(out / name, text)
    shown = {name: table for name, table in tables.items() if name != "lost"}
    typer.echo("\n".join(board.render(shown, title, form).values()))
    figures = plots.plot(found, (protocol.name, f"{seeds} seed{'s' if seeds > 1 else ''}"), out)
    for path in (*(out / name for name in pages), *figures):
        typer.echo(f"wrote {path}")
