"""Runs that exhibits of papers need: their numbers, the estimated time of missing ones, and their execution."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aubench._util.progress import format_duration
from aubench.papers import runtime_estimate
from aubench.papers.required_runs import RequiredRun, unique_runs

if TYPE_CHECKING:
    import pandas as pd

    from aubench.core.conditions import Condition
    from aubench.papers.row_specs import ResolvedRow
    from aubench.results.record_info import RecordInfo
    from aubench.runs.config import RunConfig
    from aubench.runs.devices import DeviceChoice

Train = Callable[[Sequence["RunConfig"], Sequence[int]], None]
"""Function that trains folds (their numbers) of runs."""
Evaluate = Callable[[Sequence["RunConfig"], Callable[["RunConfig"], "Sequence[Condition]"]], None]
"""Function that evaluates runs under the conditions that its second argument returns."""


def exhibit_table(titles: Mapping[str, str], rows: Mapping[str, Sequence[ResolvedRow]]) -> pd.DataFrame:
    """Return the table of exhibits: content, methods, number of runs, and how many of them exist."""
    import pandas as pd

    lines = [(name, title, _methods(rows[name]), *_count(_runs(rows[name]).values())) for name, title in titles.items()]
    all_runs = _runs(row for resolved in rows.values() for row in resolved)
    lines.append(("--all", "shared runs count once", "", *_count(all_runs.values())))
    return pd.DataFrame(lines, columns=["name", "content", "methods", "runs", "local", "on the leaderboard"])


class PendingRuns:
    """Missing runs of exhibits.

    Args:
        rows: Resolved rows of each exhibit, in the order of reproduction.
        protocol: Name of the requested protocol.
        choice: Devices.
        records: Folders whose records give the speed of runs.
        frames: Number of frames in the store.
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[ResolvedRow]],
        protocol: str,
        choice: DeviceChoice,
        records: Sequence[Path],
        frames: int,
    ) -> None:
        self._choice, self._folders, self._frames = choice, records, frames
        all_runs = _runs(row for resolved in rows.values() for row in resolved)
        missing = {key: run for key, run in all_runs.items() if not run.is_available}
        self._missing: dict[str, list[RequiredRun]] = {}
        for name, resolved in rows.items():
            keys = [key for key, run in _runs(resolved).items() if key in missing and not run.is_available]
            self._missing[name] = [missing.pop(key) for key in keys]
        self._counts = {name: _count(_runs(resolved).values()) for name, resolved in rows.items()}
        self._reasons = {name: _reasons(resolved, protocol) for name, resolved in rows.items()}
        self._impossible = {name for name, resolved in rows.items() if any(map(_is_impossible, resolved))}

    def __bool__(self) -> bool:
        """Return whether a run is missing."""
        return any(self._missing.values())

    def summary_lines(self) -> list[str]:
        """Return one line per unreproducible row, per exhibit with its missing runs, and the estimated total time."""
        lines = [f"{name}: {reason}" for name, reasons in self._reasons.items() for reason in reasons]
        timings = runtime_estimate.read_timings(self._folders) if self else []
        total = 0.0
        for name, runs in self._missing.items():
            if name in self._impossible:
                continue
            count, _, published = self._counts[name]
            suffix = f"; {published} of {count} runs on the leaderboard" if published else ""
            if not runs:
                lines.append(f"{name}: nothing to run{suffix}")
                continue
            seconds = self._seconds(runs, timings)
            total += seconds
            duration = format_duration(seconds)
            labels = ", ".join(_label(run.config) for run in runs)
            lines.append(f"{name}: {len(runs)} of {count} runs missing, about {duration}: {labels}{suffix}")
        if total:
            devices = f"{self._choice.count} x {self._choice.name}"
            duration = format_duration(total)
            lines.append(f"about {duration} in total on {devices}; repeat the command to resume an interrupted run")
        return lines

    def run(self, name: str, train: Train, evaluate: Evaluate) -> None:
        """Execute the missing runs of an exhibit."""
        runs = self._missing[name]
        untrained = [run.config for run in runs if run.missing_folds()]
        for count in sorted({config.protocol.fold_count for config in untrained}):
            train([config for config in untrained if config.protocol.fold_count == count], range(1, count + 1))
        conditions = {run.config.run_id: run.conditions for run in runs if run.conditions}
        configs = [run.config for run in runs if run.conditions]
        if configs:
            evaluate(configs, lambda config: conditions[config.run_id])

    def _seconds(self, runs: Sequence[RequiredRun], timings: Sequence[RecordInfo]) -> float:
        """Return the estimated time of runs that share the devices."""
        kind, total = self._choice.kind, 0.0
        for run in runs:
            total += runtime_estimate.training(run.config, len(run.missing_folds()), timings, kind, self._frames)
            total += runtime_estimate.evaluation(run.config, len(run.conditions), timings, kind, self._frames)
        return total / max(1, self._choice.count)


def _runs(rows: Iterable[ResolvedRow]) -> dict[str, RequiredRun]:
    """Return the distinct runs of rows, by id."""
    return unique_runs(run for row in rows for run in row.runs)


def _count(runs: Collection[RequiredRun]) -> tuple[int, int, int]:
    """Return the number of runs, of local ones, and of others that are on the leaderboard."""
    local = [run.is_local for run in runs]
    published = sum(run.is_published for run, is_local in zip(runs, local, strict=True) if not is_local)
    return len(runs), sum(local), published


def _methods(rows: Sequence[ResolvedRow]) -> str:
    return ", ".join(dict.fromkeys(row.spec.method for row in rows if row.configs))


def _label(config: RunConfig) -> str:
    """Return method, overridden recipe values, modalities and seed of a run."""
    overrides = [f"{key}={config.recipe[key]}" for key in config.overrides]
    letters = "+".join(m.letter for m in config.task.modalities)
    return " ".join([config.entry.name, *overrides, letters, f"seed {config.seed}"])


def _reasons(rows: Sequence[ResolvedRow], protocol: str) -> list[str]:
    """Return which rows use another protocol, and why rows with a method here are not reproduced."""
    moved = {
        f"rows of {row.spec.dataset} use {config.protocol.name}"
        for row in rows
        for config in row.configs
        if config.protocol.name != protocol
    }
    skipped = [f"row of {row.spec.method} skipped: {row.reason}" for row in rows if row.spec.method and row.reason]
    skipped += [f"cannot be made: {row.reason}" for row in rows if _is_impossible(row)]
    return [*sorted(moved), *dict.fromkeys(skipped)]


def _is_impossible(row: ResolvedRow) -> bool:
    """Return whether the row stands for a figure that no method can reproduce."""
    return not row.spec.method and bool(row.spec.label)
