"""One trial: trains the folds one after the other and reports the validation F1 of every epoch.

A trial has the training and validation roles only. Before anything of the trial is created, the rows of the test role
are removed from the split and its frames are withheld by the store.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util import atomic, locks
from aubench.core import hashing
from aubench.data.splits import ProtocolDataset
from aubench.engines.cluster import wait_for
from aubench.metrics import scores
from aubench.results.run_folder import (
    CANDIDATE_WEIGHTS,
    EPOCHS,
    STATE,
    VALIDATION,
    WEIGHTS,
    read_json,
    read_json_lines,
    retrain_hint,
)
from aubench.runs import fold_status
from aubench.runs.config import RunConfig
from aubench.runs.devices import DeviceChoice
from aubench.runs.events import Event
from aubench.runs.scheduler import Job, run_jobs
from aubench.tuning.search_config import SearchConfig, TrialConfig

if TYPE_CHECKING:
    from optuna import Trial


class Pruned(Exception):
    """Stop of a trial by the pruner."""


def train_and_validate(config: RunConfig, fold: int, kind: str, index: int, report: Callable[[Event], None]) -> None:
    """Train or resume a fold of a trial, and write its validation F1.

    Args:
        config: Configuration of the trial.
        fold: Number of the fold, from 1.
        kind: Kind of device.
        index: Index of the device among those of its kind.
        report: Callback for each epoch.
    """
    from aubench.runs import devices
    from aubench.runs.fold import train_fold

    folder = config.fold_dir(fold)
    folder.mkdir(parents=True, exist_ok=True)
    with locks.exclusive(folder / ".lock"):
        if (folder / VALIDATION).exists():
            return
        complete = ProtocolDataset(config.open_store(), config.protocol)
        split = complete.split(fold, validation=True)
        data, visible = complete.without_labels(split.test), replace(split, test=split.test[:0])
        with fold_status.track(folder, devices.device_name(kind, index), report) as report_status:
            state = train_fold(config, data, visible, kind, index, report_status).trainer.state
        atomic.write_json(folder / VALIDATION, {"f1": state.best, "best_epoch": state.best_epoch})
        remove_weights(folder)


def remove_weights(folder: Path) -> None:
    """Remove all weights of a fold of a trial. A finished trial needs none."""
    for name in (STATE, CANDIDATE_WEIGHTS, WEIGHTS):
        (folder / name).unlink(missing_ok=True)


class TrialRunner:
    """Training of one trial.

    The state is in the trial's folder. A trial that is resumed in another process reports its finished epochs again.

    Args:
        search: The search.
        config: Configuration of the trial's training.
        trial: Optuna's trial, which receives the score of every epoch and decides on pruning.
        choice: Devices; one is used.
    """

    def __init__(self, search: SearchConfig, config: TrialConfig, trial: Trial, choice: DeviceChoice) -> None:
        self.search, self.config, self.trial, self.choice = search, config, trial, replace(choice, count=1)
        self._fold_scores: list[float] = []
        self._reported = 0

    def run(self) -> float:
        """Train the unfinished folds.

        Returns:
            The best validation F1, mean over the search's folds.

        Raises:
            Pruned: The pruner stopped the trial.
            AubenchError: A fold failed.
        """
        for fold in self.search.folds:
            self._reported = 0
            self._report_epochs(fold)
            result = self.config.fold_dir(fold) / VALIDATION
            if not result.exists():
                run_jobs(
                    [Job(self.config, fold, train_and_validate)],
                    self.choice,
                    lambda job, _: self._report_epochs(job.fold),
                )
                wait_for(result)
            self._fold_scores.append(float(read_json(result, ("f1",), retrain_hint(result.parent))["f1"]))
        return scores.mean(self._fold_scores)

    def _report_epochs(self, fold: int) -> None:
        """Report the new epochs of a fold, of each stage from its first selectable epoch on."""
        scored = [entry for entry in epochs(self.config, fold) if entry["validation"] is not None]
        before = len(self._fold_scores) * self.search.epochs
        for number in range(self._reported, len(scored)):
            stage = scored[number]["stage"]
            known = [e for e in scored[: number + 1] if e["stage"] == stage and e.get("eligible", True)]
            self._reported = number + 1
            if known:
                best = max(e["validation"]["f1"] for e in known)
                self.trial.report(scores.mean([*self._fold_scores, best]), before + number + 1)
        if self._reported and self.trial.should_prune():
            raise Pruned

    def close(self) -> None:
        """Remove the weights of all folds, except one that another worker trains in a trial of the same recipe."""
        for folder in map(self.config.fold_dir, self.search.folds):
            if folder.is_dir():
                with suppress(locks.LockBusyError), locks.exclusive(folder / ".lock", wait=False):
                    remove_weights(folder)

    def cost(self) -> dict[str, Any]:
        """Return seconds and frames of training, and of pre-training by its digest, since trials may share it."""
        cost: dict[str, Any] = {"run": self.config.run_id, "seconds": 0.0, "frames": 0, "pretraining": {}}
        for fold in self.search.folds:
            entries = epochs(self.config, fold)
            for entry in entries:
                if entry["validation"] is not None:
                    cost["seconds"] += entry["seconds"]
                    cost["frames"] += entry["frames"]
            if pretraining := [entry for entry in entries if entry["validation"] is None]:
                seconds, frames = sum(e["seconds"] for e in pretraining), sum(e["frames"] for e in pretraining)
                cost["pretraining"][hashing.hash_json(pretraining)[:16]] = [round(seconds, 3), frames]
        return {**cost, "seconds": round(cost["seconds"], 3)}


def epochs(config: RunConfig, fold: int) -> list[dict[str, Any]]:
    """Read the finished epochs of a fold, pre-training included."""
    path = config.fold_dir(fold) / EPOCHS
    return read_json_lines(path, retrain_hint(path.parent)) if path.exists() else []
