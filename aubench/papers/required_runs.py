"""Runs that tables and figures take: finished among the runs here, on the leaderboard, or still to be made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from aubench.core.conditions import Condition
from aubench.core.errors import UsageError
from aubench.results import record as record_file
from aubench.results.record import Record, RecordInfo
from aubench.runs import condition_scores
from aubench.runs.config import RunConfig
from aubench.runs.runner import RECORD_DIR, finished_folds, write_record


@dataclass(frozen=True)
class RequiredRun:
    """A run, and what is wanted of it.

    Attributes:
        plan: The run.
        conditions: What it is put under, besides nothing.
        weights: Whether its weights are looked at, so that its record alone is not enough.
        records: The leaderboard's folders of records.
    """

    config: RunConfig
    conditions: tuple[Condition, ...]
    weights: bool
    records: tuple[Path, ...]

    def missing_folds(self) -> list[int]:
        """Numbers of the folds that are not finished here."""
        done = finished_folds(self.config)
        return [fold for fold in self._folds if fold not in done]

    @property
    def is_local(self) -> bool:
        """Whether it was finished here, and put under its conditions."""
        lacking = (condition_scores.missing_conditions(self.config, fold, self.conditions) for fold in self._folds)
        return not self.missing_folds() and not (self.conditions and any(lacking))

    @property
    def is_published(self) -> bool:
        """Whether its record on the leaderboard tells all that is wanted."""
        return not self.weights and any(map(self._tells, self._published))

    @property
    def is_available(self) -> bool:
        """Whether nothing is to be run for it."""
        return self.is_local or self.is_published

    def record(self) -> Record:
        """What it scored, here or else on the leaderboard; written anew where a kill left it behind its folds."""
        for folder in (self.config.run_dir / RECORD_DIR, *self._published):
            if self._tells(folder):
                return record_file.read(folder)
        made = write_record(self.config)
        if made is None:
            raise UsageError("has no finished fold", where=self.config.run_dir)
        return made

    def merge(self, other: RequiredRun) -> RequiredRun:
        """The same run with all that both want of it."""
        conditions = tuple(dict.fromkeys((*self.conditions, *other.conditions)))
        return replace(self, conditions=conditions, weights=self.weights or other.weights)

    @property
    def _folds(self) -> range:
        return range(1, len(self.config.protocol.folds) + 1)

    @property
    def _published(self) -> list[Path]:
        return [folder / self.config.run_dir.relative_to(self.config.runs) for folder in self.records]

    def _tells(self, folder: Path) -> bool:
        path = folder / record_file.FILE
        if not path.exists():
            return False
        info = RecordInfo.parse(path.read_bytes(), where=path)
        whole = info.run == self.config.run_id and len(info.folds) == len(self._folds)
        return whole and set(map(str, self.conditions)) <= set(info.conditions)


def unique_runs(runs: Iterable[RequiredRun]) -> dict[str, RequiredRun]:
    """Every run once, by its id, with all that is wanted of it."""
    found: dict[str, RequiredRun] = {}
    for run in runs:
        key = run.config.run_id
        found[key] = found[key].merge(run) if key in found else run
    return found
