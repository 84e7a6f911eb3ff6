"""What ``aubench reproduce`` says of runs that are there or lack, and how it makes these."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench.cli.progress import print_line

if TYPE_CHECKING:
    from aubench.papers.required_runs import RequiredRun
    from aubench.papers.row_specs import ResolvedRow
    from aubench.runs.config import RunConfig

_Todo = dict[str, "RequiredRun"]
"""Runs by id."""


def list_exhibits(titles: Mapping[str, str], found: Mapping[str, Sequence[ResolvedRow]]) -> str:
    """The table of everything that can be made: what it shows, the runs it takes, and how many are there."""
    from tabulate import tabulate

    rows = []
    for name, title in titles.items():
        rows.append((name, title, _methods(found[name]), *_counted(_runs(found[name]).values())))
    every = _runs(one for needed in found.values() for one in needed)
    rows.append(("--all", "runs that several share count once", "", *_counted(every.values())))
    headers = ("name", "shows", "runs of", "runs", "made here", "on the leaderboard")
    return tabulate(rows, headers, "github", disable_numparse=True)


class PendingRuns:
    """The runs that are still to be made.

    Args:
        found: What each table or figure takes, in the order in which they are made.
        asked: Name of the protocol that was asked for.
        device: Kind of device.
        track: Whether MLflow is told.
        records: Folders below which records tell how long runs take.
        frames: In the store.
    """

    def __init__(
        self,
        found: Mapping[str, Sequence[ResolvedRow]],
        asked: str,
        device: str,
        track: bool,
        records: Sequence[Path],
        frames: int,
    ) -> None:
        from aubench.runs import devices, scheduler

        self._track, self._folders, self._frames = track, records, frames
        self._choice = devices.choose(device)
        every = _runs(one for needed in found.values() for one in needed)
        lacking = {key: run for key, run in every.items() if not run.is_available}
        self._by_name: dict[str, _Todo] = {}
        for name, needed in found.items():
            own = (key for key, run in _runs(needed).items() if not run.is_available)
            self._by_name[name] = {key: lacking.pop(key) for key in own if key in lacking}
        self._counts = {name: _counted(_runs(needed).values()) for name, needed in found.items()}
        self._reasons = {name: _reasons(needed, asked) for name, needed in found.items()}
        if any(self._by_name.values()):
            scheduler.preload_workers()

    def print_summary(self) -> None:
        """Tell which runs lack and about how long they take, and what cannot be made."""
        from aubench.papers import runtime_estimate

        for name, reasons in self._reasons.items():
            for reason in reasons:
                print_line(f"{name}: {reason}")
        records = runtime_estimate.read_timings(self._folders) if any(self._by_name.values()) else []
        seconds = {name: self._seconds(todo, records) for name, todo in self._by_name.items()}
        for name, todo in self._by_name.items():
            takes, _, published = self._counts[name]
            taken = f"; {published} of its {takes} runs are on the leaderboard" if published else ""
            if todo:
                which = ", ".join(_told(run.config) for run in todo.values())
                count = f"{len(todo)} of its {takes} runs to be made"
                print_line(f"{name}: {count}, about {runtime_estimate.format_duration(seconds[name])}: {which}{taken}")
            else:
                print_line(f"{name}: nothing to run{taken}")
        if total := sum(seconds.values()):
            where = f"{self._choice.count} x {self._choice.name}"
            print_line(
                f"about {runtime_estimate.format_duration(total)} in all, on {where}; stopped, the same command goes on"
            )

    def run(self, name: str) -> None:
        """Make what a table or figure lacks."""
        from contextlib import nullcontext

        from aubench.cli.run_progress import RunDisplay, show_conditions
        from aubench.runs.runner import evaluate_conditions, run_folds
        from aubench.tracking import background

        todo = self._by_name[name]
        if not todo:
            return
        plans = [run.config for run in todo.values()]
        wanted = {key: run.conditions for key, run in todo.items() if run.conditions}
        tracking = (
            background.background([plan.run_dir for plan in plans], say=print_line) if self._track else nullcontext()
        )
        with tracking:
            lacking = [run.config for run in todo.values() if run.missing_folds()]
            for count in sorted({len(plan.protocol.folds) for plan in lacking}):
                folds = list(range(1, count + 1))
                own = [plan for plan in lacking if len(plan.protocol.folds) == count]
                with RunDisplay(own, folds) as display:
                    run_folds(own, folds, self._choice, display.show)
            under = [plan for plan in plans if plan.run_id in wanted]
            evaluate_conditions(under, lambda plan: wanted[plan.run_id], self._choice, show_conditions)

    def _seconds(self, todo: _Todo, records: Sequence[Any]) -> float:
        """About how long some runs take, side by side."""
        from aubench.papers import runtime_estimate

        kind, total = self._choice.kind, 0.0
        for run in todo.values():
            total += runtime_estimate.training(run.config, len(run.missing_folds()), records, kind, self._frames)
            if run.conditions:
                total += runtime_estimate.evaluation(run.config, len(run.conditions), records, kind, self._frames)
        return total / max(1, self._choice.count)


def _runs(needed: Iterable[ResolvedRow]) -> _Todo:
    """Every run that some rows take, once."""
    from aubench.papers.required_runs import unique_runs

    return unique_runs(run for one in needed for run in one.runs)


def _counted(runs: Collection[RequiredRun]) -> tuple[int, int, int]:
    """How many runs there are, how many were made here, and how many of the others are on the leaderboard."""
    made = [run.is_local for run in runs]
    return len(runs), sum(made), sum(run.is_published for run, here in zip(runs, made, strict=True) if not here)


def _methods(needed: Sequence[ResolvedRow]) -> str:
    return ", ".join(dict.fromkeys(one.spec.method for one in needed if one.configs))


def _told(plan: RunConfig) -> str:
    """A run in words: method, what of its recipe is not the preset's, modalities, seed."""
    changed = [f"{key}={plan.recipe[key]}" for key in plan.overrides]
    letters = "+".join(m.letter for m in plan.task.modalities)
    return " ".join([plan.entry.name, *changed, letters, f"seed {plan.seed}"])


def _reasons(needed: Sequence[ResolvedRow], asked: str) -> list[str]:
    """What cannot be made of rows that have a method here, and which are made on another protocol; each once."""
    moved = {
        f"rows of {one.spec.dataset} are made on {plan.protocol.name}"
        for one in needed
        for plan in one.configs
        if plan.protocol.name != asked
    }
    unmade = (f"row of {one.spec.method} not made: {one.reason}" for one in needed if one.spec.method and one.reason)
    return [*sorted(moved), *dict.fromkeys(unmade)]
