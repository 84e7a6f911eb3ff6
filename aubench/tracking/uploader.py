"""Upload of the new content of a run's folder to MLflow, with a parent run for the run and a child run for each fold.

The file ``tracking.json`` in the folder records the sent items. Without it, tags identify the runs, and points that are
sent twice are stored once since their timestamps follow from the folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field, ValidationError

from aubench._util import atomic
from aubench.core import hashing
from aubench.results.run_folder import RESULT, RUN_FILE
from aubench.tracking import mlflow_client
from aubench.tracking.mlflow_client import Point
from aubench.tracking.run_export import RECORD, TrackedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FILE = "tracking.json"
_FOLD_TAG = "aubench.fold"

Status = Literal["RUNNING", "FINISHED", "FAILED"]


class _Fold(BaseModel):
    """Sent items of a fold: child run, its start (ms since 1970) and status, and the next epoch to send per stage."""

    run: str
    started: int
    status: Status = "RUNNING"
    epochs: dict[str, int] = Field(default_factory=dict)


class _Target(BaseModel):
    """Sent items for one tracking URI: the parent run, the folds, and the digest of each sent file."""

    experiment: str
    parent: str
    started: int
    status: Status = "RUNNING"
    folds: dict[int, _Fold] = Field(default_factory=dict)
    sent: dict[str, str] = Field(default_factory=dict)


class SyncState(BaseModel):
    """Content of ``tracking.json``: sent items by tracking URI."""

    schema_version: Literal[1] = 1
    targets: dict[str, _Target] = Field(default_factory=dict)


class Uploader:
    """Single synchronisation of one run."""

    def __init__(self, client: MlflowClient, run: TrackedRun, target: str) -> None:
        self._client, self._run, self._name = client, run, target
        self._path = run.run_dir / FILE
        self._state = _read_state(self._path)
        self._count: Counter[str] = Counter()

    @property
    def _target(self) -> _Target:
        return self._state.targets[self._name]

    def start(self, uri: str) -> bool:
        """Find or create the parent run. Return False if the user has deleted it."""
        target = self._state.targets.get(self._name)
        stage = self._lifecycle_stage(target.parent) if target else None
        if stage is None:
            experiment = mlflow_client.experiment(self._client, uri, self._run.experiment)
            self._state.targets[self._name] = self._find_run(experiment) or self._create_run(experiment)
            self._save()
        return stage != "deleted"

    def send_fold_unless_deleted(self, fold: int) -> None:
        """Send a fold as :meth:`send_fold`, unless the user has deleted its child run."""
        try:
            self.send_fold(fold)
        except Exception:
            child = self._target.folds.get(fold)
            if child is None or self._lifecycle_stage(child.run) != "deleted":
                raise

    def send_fold(self, fold: int) -> None:
        """Send a fold's new epochs, and its predictions and scores if it is finished."""
        epochs = self._run.epochs(fold)
        if fold not in self._target.folds:
            self._target.folds[fold] = self._find_or_create_child(fold, self._run.training_started(fold, epochs))
            self._save()
        state = self._target.folds[fold]
        new = [epoch for epoch in epochs if epoch.number >= state.epochs.get(epoch.stage, 0)]
        if new:
            mlflow_client.log_points(self._client, state.run, self._run.epoch_points(new, state.started))
            for epoch in new:
                state.epochs[epoch.stage] = max(state.epochs.get(epoch.stage, 0), epoch.number + 1)
            self._count["epoch"] += len(new)
            self._save()
        for name in self._run.files(fold):
            self._send_file(state.run, name, None)
        with self._if_changed(f"fold{fold}/{RESULT}", "finished fold") as changed:
            if changed:
                self._finish(state.run, self._run.result_points(fold, state.started))
                state.status = "FINISHED"
        if state.status != "FINISHED":
            self._send_status(state, state.run, "FAILED" if fold in self._run.failed_folds else "RUNNING")

    def send_run(self) -> None:
        """Send the run's parameters and files, and the scores of its record if all folds are finished."""
        target = self._target
        parent = target.parent
        with self._if_changed(RUN_FILE, "description", "parameters") as changed:
            if changed:
                mlflow_client.log_params(self._client, parent, self._run.params())
        for name in self._run.files():
            self._send_file(parent, name, name.rpartition("/")[0] or None)
        with self._if_changed(RECORD, "headline", "headline", self._run.is_finished) as changed:
            if changed:
                self._finish(parent, self._run.record_points(target.started))
                target.status = "FINISHED"
        if target.status != "FINISHED":
            self._send_status(target, parent, "FAILED" if self._run.failed_folds else "RUNNING")

    def _send_status(self, item: _Fold | _Target, run: str, status: Status) -> None:
        """Set the status of an unfinished run."""
        if item.status == status:
            return
        if status == "RUNNING":
            self._client.update_run(run, status)
        else:
            self._client.set_terminated(run, status)
        item.status = status
        self._save()

    def summary(self) -> str:
        """Return the counts of sent items and the skipped values."""
        counts = [f"{count} {item}{'s' if count > 1 else ''}" for item, count in self._count.items()]
        text = f"sent {', '.join(counts)}" if counts else "nothing new"
        skipped = self._run.skipped
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        return f"{text}; skipped: {', '.join(skipped[:3])}{more}" if skipped else text

    def _find_run(self, experiment: str) -> _Target | None:
        """Return the run in MLflow that an earlier synchronisation sent, or None."""
        parents = [run.info for run in self._search(experiment) if _FOLD_TAG not in run.data.tags]
        if not parents:
            return None
        return _Target(experiment=experiment, parent=parents[0].run_id, started=parents[0].start_time)

    def _search(self, experiment: str, **tags: str) -> list[Run]:
        tags = self._run.identity | tags
        query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        return list(self._client.search_runs([experiment], query, order_by=["attributes.start_time ASC"]))

    def _create_run(self, experiment: str) -> _Target:
        started = self._run.started()
        run = self._client.create_run(experiment, started, self._run.tags(), self._run.name)
        return _Target(experiment=experiment, parent=run.info.run_id, started=started)

    def _find_or_create_child(self, fold: int, started: int) -> _Fold:
        fold_tags = {_FOLD_TAG: str(fold), "mlflow.parentRunId": self._target.parent}
        for run in self._search(self._target.experiment, **fold_tags):
            return _Fold(run=run.info.run_id, started=run.info.start_time)
        tags, name = self._run.tags() | fold_tags, f"{self._run.name}-fold{fold}"
        run = self._client.create_run(self._target.experiment, started, tags, name)
        return _Fold(run=run.info.run_id, started=started)

    def _send_file(self, run: str, name: str, folder: str | None) -> None:
        with self._if_changed(name, "file") as changed:
            if changed:
                self._client.log_artifact(run, str(self._run.run_dir / name), folder)

    def _finish(self, run: str, points: Sequence[Point]) -> None:
        mlflow_client.log_points(self._client, run, points)
        ended = max((point.timestamp for point in points), default=None)
        self._client.set_terminated(run, "FINISHED", ended)

    def _lifecycle_stage(self, run: str) -> str | None:
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_run(run).info.lifecycle_stage)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    @contextmanager
    def _if_changed(
        self, name: str, item: str, entry: str | None = None, is_ready: Callable[[], bool] = lambda: True
    ) -> Iterator[bool]:
        """Yield whether the file ``name`` exists, has changed and is ready. Record it as sent if the block succeeds."""
        entry, path = entry or name, self._run.run_dir / name
        digest = hashing.hash_file(path) if path.is_file() else None
        changed = digest is not None and self._target.sent.get(entry) != digest and is_ready()
        yield changed
        if changed and digest:
            self._target.sent[entry] = digest
            self._count[item] += 1
            self._save()

    def _save(self) -> None:
        atomic.write_json(self._path, self._state.model_dump(mode="json"))


def _read_state(path: Path) -> SyncState:
    """Read the sent items, empty if the file is missing or damaged, since tags identify the runs."""
    try:
        return SyncState.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return SyncState()
