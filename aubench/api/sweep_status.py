"""State of the folds in a folder of runs, and cancellation of the commands that work on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aubench._util.progress import format_duration, print_line
from aubench.api.dataframe_view import DataFrameView
from aubench.api.planning import AnyPath
from aubench.core.user_paths import user_path

if TYPE_CHECKING:
    import pandas as pd

    from aubench.runs.run_status import FoldState
    from aubench.runs.sweeps import Sweep


@dataclass(frozen=True, repr=False)
class StatusResults(DataFrameView):
    """State of every fold in a folder of runs.

    Attributes:
        folds: Folds of all runs.
    """

    folds: Sequence[FoldState]

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per fold with the fields of :class:`~aubench.runs.run_status.FoldState`."""
        import dataclasses

        import pandas as pd

        from aubench.runs.run_status import FoldState

        columns = [field.name for field in dataclasses.fields(FoldState)]
        rows = [dataclasses.astuple(fold) for fold in self.folds]
        return pd.DataFrame(rows, columns=columns).assign(run_dir=[str(fold.run_dir) for fold in self.folds])

    def summary(self) -> str:
        """Return the text that ``aubench status`` prints: folds that run, failed or stopped, and all counts."""
        from tabulate import tabulate

        from aubench.runs.run_status import STATES

        counts = Counter(fold.state for fold in self.folds)
        shown = [fold for fold in self.folds if fold.state in ("running", "failed", "stopped")]
        line = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        line = f"{len(self.folds)} folds: {line}" if self.folds else "no runs"
        headers = ("run", "seed", "fold", "state", "where", "epoch", "frames/s", "time left", "reason")
        table = tabulate([_row(fold) for fold in shown], headers, "github", disable_numparse=True)
        return f"{table}\n\n{line}" if shown else line


def status(runs: AnyPath = "runs") -> StatusResults:
    """Show the folds that are done, running, waiting or failed.

    The files of the folder are read, so any machine that shares it shows the same. If a command has left jobs in a
    Slurm queue, a machine with Slurm also checks which of them are still queued. A run whose file is damaged is
    skipped, and a line names it.

    Args:
        runs: Folder of all runs.

    Returns:
        The state of every fold.

    Raises:
        UsageError: There is no such folder.
    """
    from aubench.engines import slurm_commands
    from aubench.runs import sweeps
    from aubench.runs.run_status import read_states

    folder = _existing(runs)
    has_left_jobs = any(sweep.queued and not sweep.is_alive for sweep in sweeps.read_sweeps(folder))
    active = slurm_commands.active_jobs() if has_left_jobs else None
    return StatusResults(read_states(folder, lambda error: print_line(f"skipped {error}"), active))


def cancel(runs: AnyPath = "runs", report: Callable[[str], None] = lambda line: None) -> list[str]:
    """Cancel the commands that work on a folder of runs.

    Their jobs on a cluster end too. Finished folds and the states of unfinished ones remain.

    Args:
        runs: Folder of all runs.
        report: Function that receives the lines, also if a command does not end.

    Returns:
        One line for each command.

    Raises:
        UsageError: There is no such folder.
        CheckFailed: A command did not end. If there are several, a line on stderr names each of the others.
    """
    from aubench.core.errors import CheckFailed
    from aubench.runs import run_status, sweeps

    commands = sweeps.read_sweeps(_existing(runs))
    running = {sweep.path for sweep in run_status.stop_sweeps(commands)}
    lines, errors = [], []
    for sweep in commands:
        try:
            lines.append(_remove(sweep, has_ended=sweep.path not in running))
        except CheckFailed as error:
            errors.append(error)
        else:
            report(lines[-1])
    for other in errors[1:]:
        print_line(f"aubench: {other}")
    if errors:
        raise errors[0]
    return lines


def _remove(sweep: Sweep, has_ended: bool) -> str:
    """Remove the jobs and files of a command that was asked to end; return the line on it.

    Raises:
        CheckFailed: The command has not ended, or Slurm has not cancelled its jobs.
    """
    from aubench.core.errors import CheckFailed
    from aubench.engines import slurm_commands
    from aubench.runs import sweeps

    count, name = sum(map(len, sweep.folds.values())), f"{sweep.engine} on {sweep.host}"
    if not has_ended:
        raise CheckFailed(f"{name} has not ended", where=sweep.path, hint=f"end process {sweep.pid} there")
    present = sweeps.Sweep.read(sweep.path)  # a command that ends removes its file, unless it leaves jobs in the queue
    queued = list(present.queued.values()) if present else []
    if queued and not slurm_commands.cancel_jobs(queued):
        jobs = ", ".join(sorted({job_id.partition("_")[0] for job_id in queued}))
        hint = f"repeat the command on a login node, or call scancel {jobs.replace(',', '')} there"
        raise CheckFailed(f"{name} has ended, but Slurm has not cancelled job {jobs}", where=sweep.path, hint=hint)
    sweep.remove()
    verb = "cancelled" if sweep.is_alive or queued else "had ended already:"
    return f"{verb} {name}, process {sweep.pid}: {count} fold{'s' * (count > 1)}"


def _existing(runs: AnyPath) -> Path:
    from aubench.core.errors import UsageError

    folder = user_path(runs)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(what, where=folder, hint="give the folder of runs")
    return folder


def _row(fold: FoldState) -> tuple[str, ...]:
    epoch = "–" if fold.epoch is None else f"{fold.stage} {fold.epoch} of {fold.epochs}"
    where = " ".join(filter(None, (fold.host, fold.device and f"({fold.device})"))) or "–"
    speed = "–" if fold.frames_per_s is None else f"{fold.frames_per_s:,.0f}"
    left = "–" if fold.seconds_left is None else format_duration(fold.seconds_left)
    run = f"{fold.protocol}/{fold.method}/{fold.run_dir.name}"
    return run, str(fold.seed), str(fold.fold), fold.state, where, epoch, speed, left, fold.reason or "–"
