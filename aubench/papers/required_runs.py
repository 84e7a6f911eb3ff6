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
from aubench.runs.config import Plan
from aubench.runs.runner import RECORD, finished_folds, write_record


@dataclass(frozen=True)
class Due:
    """A run, and what is wanted of it.

    Attributes:
        plan: The run.
        conditions: What it is put under, besides nothing.
        weights: Whether its weights are looked at, so that its record alone is not enough.
        records: The leaderboard's folders of records.
    """

    plan: Plan
    conditions: tuple[Condition, ...]
    weights: bool
    records: tuple[Path, ...]

    def lacking_folds(self) -> list[int]:
        """Numbers of the folds that are not finished here."""
        done = finished_folds(self.plan)
        return [fold for fold in self._folds if fold not in done]

    @property
    def made(self) -> bool:
        """Whether it was finished here, and put under its conditions."""
        lacking = (condition_scores.lacking(self.plan, fold, self.conditions) for fold in self._folds)
        return not self.lacking_folds() and not (self.conditions and any(lacking))

    @property
    def published(self) -> bool:
        """Whether its record on the leaderboard tells all that is wanted."""
        return not self.weights and any(map(self._tells, self._published))

    @property
    def there(self) -> bool:
        """Whether nothing is to be run for it."""
        return self.made or self.published

    def record(self) -> Record:
        """What it scored, here or else on the leaderboard; written anew where a kill left it behind its folds."""
        for folder in (self.plan.folder / RECORD, *self._published):
            if self._tells(folder):
                return record_file.read(folder)
        made = write_record(self.plan)
        if made is None:
            raise UsageError("has no finished fold", where=self.plan.folder)
        return made

    def joined(self, other: Due) -> Due:
        """The same run with all that both want of it."""
        conditions = tuple(dict.fromkeys((*self.conditions, *other.conditions)))
        return replace(self, conditions=conditions, weights=self.weights or other.weights)

    @property
    def _folds(self) -> range:
        return range(1, len(self.plan.protocol.folds) + 1)

    @property
    def _published(self) -> list[Path]:
        return [folder / self.plan.folder.relative_to(self.plan.runs) for folder in self.records]

    def _tells(self, folder: Path) -> bool:
        path = folder / record_file.FILE
        if not path.exists():
            return False
        info = RecordInfo.parse(path.read_bytes(), where=path)
        whole = info.run == self.plan.run_id and len(info.folds) == len(self._folds)
        return whole and set(map(str, self.conditions)) <= set(info.conditions)


def distinct(runs: Iterable[Due]) -> dict[str, Due]:
    """Every run once, by its id, with all that is wanted of it."""
    found: dict[str, Due] = {}
    for run in runs:
        key = run.plan.run_id
        found[key] = found[key].joined(run) if key in found else run
    return found
