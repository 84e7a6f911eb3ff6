"""Progress of runs on stderr: a bar per fold on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from aubench._util.progress import is_terminal, print_line, progress_bar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from aubench.runs.scheduler import Job


class RunDisplay:
    """Display of the events of folds, a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._tasks: dict[tuple[str, int], TaskID] = {}

    def __enter__(self) -> Self:
        self._bar: Progress = self._stack.enter_context(progress_bar())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, job: Job, event: dict[str, Any]) -> None:
        """Show an event of a fold."""
        name = _job_name(job)
        if event["kind"] == "epoch":
            score = event["validation"]
            values = f"loss {event['loss']['total']:.3f}" + (
                f", validation F1 {100 * score['f1']:.1f}" if score else ""
            )
            self._advance(name, job, event["epoch"] + 1, event["of"], f"{name}: {event['stage']}, {values}")
            if not is_terminal():
                epoch = f"{event['stage']}, epoch {event['epoch'] + 1} of {event['of']}"
                print_line(f"{name}: {epoch}, {values}, {event['frames_per_s']:.0f} frames/s")
        elif event["kind"] == "fold":
            self._advance(name, job, event["epochs"], event["epochs"], f"{name}: done")
        elif event["kind"] == "failed":
            print_line(f"{name}: {event['why']}")

    def _advance(self, name: str, job: Job, done: int, total: int, text: str) -> None:
        key = (job.plan.run_id, job.fold)
        if key not in self._tasks:
            self._tasks[key] = self._bar.add_task(name, total=total)
        self._bar.update(self._tasks[key], completed=done, total=total, description=text)


def show_conditions(job: Job, event: dict[str, Any]) -> None:
    """Show an event of a fold that is evaluated under test conditions."""
    text = event["why"] if event["kind"] == "failed" else f"evaluated under {event['done']} conditions"
    print_line(f"{_job_name(job)}: {text}")


def _job_name(job: Job) -> str:
    return f"{job.plan.entry.name}, seed {job.plan.seed}, fold {job.fold}"
