"""Runs that tables and figures need: finished locally, on the leaderboard, or missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from aubench.core.conditions import Condition
from aubench.core.errors import UsageError
from aubench.results import record as record_file
from aubench.results.record import Record
from aubench.results.run_folder import RECORD_DIR
from aubench.runs import condition_scores
from aubench.runs.config import RunConfig
from aubench.runs.record_builder import finished_folds, write_record


@dataclass(frozen=True)
class RequiredRun:
    """Run that a row needs.

    Attributes:
        config: Run.
        conditions: Test conditions besides ``clean``.
        weights: Whether the weights are needed, so that a record is not enough.
        records: Folders of records of the leaderboard.
    """

    config: RunConfig
    conditions: tuple[Condition, ...]
    weights: bool
    records: tuple[Path, ...]

    def missing_folds(self) -> list[int]:
        """Return the numbers of the folds that are not finished locally."""
        finished = finished_folds(self.config)
        return [fold for fold in self._folds if fold not in finished]

    @property
    def is_local(self) -> bool:
        """Whether all folds are finished and evaluated locally."""
        if self.missing_folds():
            return False
        return not self.conditions or not any(
            condition_scores.missing_conditions(self.config, fold, self.conditions) for fold in self._folds
        )

    @property
    def is_published(self) -> bool:
        """Whether a record on the leaderboard is enough. Raises RecordError if it is damaged."""
        return not self.weights and any(map(self._sufficient_record, self._published))

    @property
    def is_available(self) -> bool:
        """Whether nothing has to be run."""
        return self.is_local or self.is_published

    def record(self) -> Record:
        """Return the local record, or else that of the leaderboard; write the local one if it misses folds.

        Raises:
            UsageError: No fold is finished.
        """
        for folder in (self.config.run_dir / RECORD_DIR, *self._published):
            if stored := self._sufficient_record(folder):
                return stored
        record = write_record(self.config) if finished_folds(self.config) else None
        if record is None:
            raise UsageError("has no finished fold", where=self.config.run_dir)
        return record

    def merge(self, other: RequiredRun) -> RequiredRun:
        """Return the run with the requirements of both."""
        conditions = tuple(dict.fromkeys((*self.conditions, *other.conditions)))
        return replace(self, conditions=conditions, weights=self.weights or other.weights)

    @property
    def _folds(self) -> range:
        return range(1, self.config.protocol.fold_count + 1)

    @property
    def _published(self) -> list[Path]:
        return [folder / self.config.run_dir.relative_to(self.config.runs) for folder in self.records]

    def _sufficient_record(self, folder: Path) -> Record | None:
        if not (folder / record_file.FILE).exists():
            return None
        state = sorted((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in folder.iterdir())
        record = _read(folder.absolute(), tuple(state))
        is_complete = record.info.run == self.config.run_id and len(record.info.folds) == len(self._folds)
        has_conditions = set(map(str, self.conditions)) <= set(record.info.conditions)
        return record if is_complete and has_conditions else None


@lru_cache(maxsize=256)
def _read(folder: Path, _state: tuple[tuple[str, int, int], ...]) -> Record:
    """Read a record once as long as it does not change. Several tables need the same runs."""
    return record_file.read(folder)


def unique_runs(runs: Iterable[RequiredRun]) -> dict[str, RequiredRun]:
    """Return distinct runs by id, with merged requirements."""
    by_id: dict[str, RequiredRun] = {}
    for run in runs:
        key = run.config.run_id
        by_id[key] = by_id[key].merge(run) if key in by_id else run
    return by_id
