"""Progress of runs on stderr: a bar per fold on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from aubench._util.progress import is_terminal, print_line, progress_bar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from aubench.runs.events import Event
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

    def show(self, job: Job, event: Event) -> None:
        """Show an event of a fold."""
        from aubench.runs.events import FoldFinished, RunFailed
        from aubench.training.state import EpochFinished, GraphFailed

        name = _job_name(job)
        if isinstance(event, EpochFinished):
            values = f"loss {event.loss['total']:.3f}"
            values += f", validation F1 {100 * event.validation['f1']:.1f}" if event.validation else ""
            self._advance(name, job, event.epoch, event.epochs, f"{name}: {event.stage}, {values}")
            if not is_terminal():
                epoch = f"{event.stage}, epoch {event.epoch} of {event.epochs}"
                print_line(f"{name}: {epoch}, {values}, {event.frames_per_s:.0f} frames/s")
        elif isinstance(event, FoldFinished) and event.result is not None:
            self._finish(name, job)
        elif isinstance(event, GraphFailed):
            print_line(f"{name}: {event}")
        elif isinstance(event, RunFailed):
            print_line(f"{name}: {event.reason}")

    def _finish(self, name: str, job: Job) -> None:
        """Replace the bar of a fold by a line above the bars, which leaves their space to other folds."""
        if (task := self._tasks.pop((job.config.run_id, job.fold), None)) is not None:
            self._bar.remove_task(task)
        if is_terminal():
            self._bar.console.print(f"{name}: done", highlight=False)

    def _advance(self, name: str, job: Job, done: int, total: int, text: str) -> None:
        key = (job.config.run_id, job.fold)
        if key not in self._tasks:
            self._tasks[key] = self._bar.add_task(name, total=total)
        self._bar.update(self._tasks[key], completed=done, total=total, description=text)


def show_conditions(job: Job, event: Event) -> None:
    """Show an event of a fold that is evaluated under test conditions."""
    from aubench.runs.events import ConditionsEvaluated, RunFailed

    if isinstance(event, ConditionsEvaluated):
        print_line(f"{_job_name(job)}: evaluated under {event.count} conditions")
    elif isinstance(event, RunFailed):
        print_line(f"{_job_name(job)}: {event.reason}")


def _job_name(job: Job) -> str:
    return f"{job.config.entry.name}, seed {job.config.seed}, fold {job.fold}"
