"""One trial: train the folds one after the other, tell the validation F1 of every epoch, score nothing.

A trial is given the training and the validation role. The test role's rows are taken out of the roles, and the
frames themselves are withheld from the store, before anything that belongs to the trial is made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from aubench._util import atomic
from aubench.core import hashing
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.metrics import scores
from aubench.results.run_folder import CANDIDATE_WEIGHTS, EPOCHS, STATE, WEIGHTS
from aubench.runs.config import RunConfig
from aubench.runs.devices import DeviceChoice
from aubench.runs.scheduler import Job, run_jobs
from aubench.tuning.search_config import SearchConfig, TrialConfig
from aubench.tuning.space import TrialLike

VALIDATION = "validation.json"
"""What a finished fold of a trial leaves."""


class Pruned(Exception):
    """The trial is worth no more work."""


def train_fold(plan: RunConfig, fold: int, kind: str, index: int, report: Callable[[dict[str, Any]], None]) -> None:
    """Train a fold of a trial, from wherever it stands, and write its validation F1.

    Args:
        plan: The trial.
        fold: Number of the fold, from 1.
        kind: Kind of device.
        index: Which device of that kind.
        report: Told of each epoch.
    """
    from aubench.runs.fold import train_fold

    folder = plan.fold_dir(fold)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if (folder / VALIDATION).exists():
            return
        everything = ProtocolDataset(Store(plan.store.path), plan.protocol)
        roles = everything.split(fold, validation=True)
        data, seen = everything.without_labels(roles.test), replace(roles, test=roles.test[:0])
        history = train_fold(plan, data, seen, kind, index, report).trainer.state
        atomic.write_json(folder / VALIDATION, {"f1": history.best, "best_epoch": history.best_epoch})
        forget(folder)


def forget(folder: Path) -> None:
    """Remove what only an unfinished fold needs; nobody scores a trial's weights."""
    for name in (STATE, CANDIDATE_WEIGHTS, WEIGHTS):
        (folder / name).unlink(missing_ok=True)


class TrialRunner:
    """A trial under way.

    What was done stands in its folder, so one that begins anew in another process tells again what it knows and
    goes on.

    Args:
        search: The search.
        plan: The trial's training.
        trial: Told of every epoch; says when to stop.
        choice: Where to compute; one device of it is used.
    """

    def __init__(self, search: SearchConfig, plan: TrialConfig, trial: TrialLike, choice: DeviceChoice) -> None:
        self.search, self.plan, self.trial, self.choice = search, plan, trial, replace(choice, count=1)
        self._done: list[float] = []
        self._told = 0

    def run(self) -> float:
        """Train what is left.

        Returns:
            The best validation F1, mean over the search's folds.

        Raises:
            Pruned: It is not worth going on.
            AubenchError: A fold could not be trained.
        """
        for fold in self.search.folds:
            self._told = 0
            self._report_epochs(fold)
            result = self.plan.fold_dir(fold) / VALIDATION
            if not result.exists():
                run_jobs([Job(self.plan, fold, train_fold)], self.choice, lambda job, _: self._report_epochs(job.fold))
            self._done.append(float(json.loads(result.read_text())["f1"]))
        return scores.mean(self._done)

    def _report_epochs(self, fold: int) -> None:
        """Tell the epochs of a fold that were not told yet, of a stage from its first eligible one on."""
        scored = [entry for entry in epochs(self.plan, fold) if entry["validation"] is not None]
        before = len(self._done) * self.search.epochs
        for number in range(self._told, len(scored)):
            stage = scored[number]["stage"]
            known = [e for e in scored[: number + 1] if e["stage"] == stage and e.get("eligible", True)]
            self._told = number + 1
            if known:
                best = max(e["validation"]["f1"] for e in known)
                self.trial.report(scores.mean([*self._done, best]), before + number + 1)
        if self._told and self.trial.should_prune():
            raise Pruned

    def close(self) -> None:
        """Remove what only an unfinished trial needs."""
        for fold in self.search.folds:
            forget(self.plan.fold_dir(fold))

    def cost(self) -> dict[str, Any]:
        """Seconds and frames of training so far; of pre-training by what it made, as other trials may share it."""
        found: dict[str, Any] = {"run": self.plan.run_id, "seconds": 0.0, "frames": 0, "pretraining": {}}
        for fold in self.search.folds:
            entries = epochs(self.plan, fold)
            for entry in entries:
                if entry["validation"] is not None:
                    found["seconds"] += entry["seconds"]
                    found["frames"] += entry["frames"]
            if before := [entry for entry in entries if entry["validation"] is None]:
                seconds, frames = sum(e["seconds"] for e in before), sum(e["frames"] for e in before)
                found["pretraining"][hashing.hash_json(before)[:16]] = [round(seconds, 3), frames]
        return {**found, "seconds": round(found["seconds"], 3)}


def epochs(plan: RunConfig, fold: int) -> list[dict[str, Any]]:
    """Finished epochs of a fold, pre-training included."""
    path = plan.fold_dir(fold) / EPOCHS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
