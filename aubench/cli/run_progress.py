"""What ``aubench run`` shows while it works and when it is done."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import typer

from aubench.cli.progress import on_terminal, print_line, progress_bar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from aubench.runs.config import RunConfig
    from aubench.runs.scheduler import Job


class RunDisplay:
    """A bar a fold on a terminal, a line an epoch elsewhere; a table at the end.

    Args:
        plans: The runs.
        folds: The folds that are run.
    """

    def __init__(self, plans: list[RunConfig], folds: list[int]) -> None:
        self.plans, self.folds = plans, folds
        self._stack = ExitStack()
        self._tasks: dict[tuple[str, int], TaskID] = {}

    def __enter__(self) -> Self:
        self._bar: Progress = self._stack.enter_context(progress_bar())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, job: Job, event: dict[str, Any]) -> None:
        """Show one event of a fold."""
        name = _job_name(job)
        if event["kind"] == "epoch":
            score = event["validation"]
            told = f"loss {event['loss']['total']:.3f}" + (f", validation F1 {100 * score['f1']:.1f}" if score else "")
            self._advance(name, job, event["epoch"] + 1, event["of"], f"{name}: {event['stage']}, {told}")
            if not on_terminal():
                when = f"{event['stage']}, epoch {event['epoch'] + 1} of {event['of']}"
                print_line(f"{name}: {when}, {told}, {event['frames_per_s']:.0f} frames/s")
        elif event["kind"] == "fold":
            self._advance(name, job, event["epochs"], event["epochs"], f"{name}: done")
        elif event["kind"] == "failed":
            print_line(f"{name}: {event['why']}")

    def _advance(self, name: str, job: Job, done: int, total: int, text: str) -> None:
        key = (job.plan.run_id, job.fold)
        if key not in self._tasks:
            self._tasks[key] = self._bar.add_task(name, total=total)
        self._bar.update(self._tasks[key], completed=done, total=total, description=text)

    def summary(self) -> None:
        """Print what the runs with a finished fold reached, beside always answering "present"."""
        from tabulate import tabulate

        from aubench.metrics import baselines, intervals, scores
        from aubench.results import record
        from aubench.runs.runner import RECORD_DIR

        rows = []
        metrics = [metric for metric in scores.column_metrics() if not metric.pooled and metric.name != "f1"]
        for plan in (plan for plan in self.plans if (plan.run_dir / RECORD_DIR / record.FILE).exists()):
            found = record.read(plan.run_dir / RECORD_DIR)
            always, _ = baselines.always_positive(found)
            margin = intervals.f1_difference([found.counts], [always])
            summary = scores.summary_of(found)
            rows.append(
                (
                    plan.entry.name,
                    plan.seed,
                    f"{len(found.info.folds)}/{len(plan.protocol.folds)}",
                    _percent(summary.f1_mean),
                    f"{100 * margin.estimate:+.1f} [{100 * margin.low:+.1f}, {100 * margin.high:+.1f}]",
                    *(_percent(summary.value(metric.name)) for metric in metrics),
                    f"{found.info.compute.total.flops / 1e9:.3g}",
                    str(plan.run_dir),
                )
            )
        titles = [metric.title for metric in metrics]
        headers = ("method", "seed", "folds", "F1", "over always-positive [95 %]", *titles, "GFLOPs", "run")
        if rows:
            typer.echo(tabulate(rows, headers, "github", disable_numparse=True))


def show_conditions(job: Job, event: dict[str, Any]) -> None:
    """Show one event of a fold that is put under conditions."""
    told = event["why"] if event["kind"] == "failed" else f"put under {event['done']} conditions"
    print_line(f"{_job_name(job)}: {told}")


def _job_name(job: Job) -> str:
    return f"{job.plan.entry.name}, seed {job.plan.seed}, fold {job.fold}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
