"""Tracking by MLflow, as a function of the run folder: what is not there yet is sent, as often as one likes.

A run writes everything into its folder first and asks nobody. :class:`Tracker` then makes MLflow agree
with the folder: a parent run for the run, a child for each fold. What was sent stands in the folder's
``tracking.json``; if that is lost, the runs are found again by their tags, and points sent twice are
stored once since their timestamps follow from the folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from aubench._util import atomic
from aubench.core import hashing
from aubench.tracking import mlflow_client
from aubench.tracking.mlflow_client import Point, default_uri
from aubench.tracking.run_export import HEADER, RECORD, RESULT, TrackedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FILE = "tracking.json"
_FOLD_TAG = "aubench.fold"
_LOCK_SECONDS = 10
_DETAIL_LENGTH = 300


@dataclass(frozen=True)
class SyncResult:
    """How sending went.

    Attributes:
        ok: Whether MLflow now has everything that the folder holds.
        detail: What was sent, or why not, in one line.
        reachable: False where no server answered.
    """

    ok: bool
    detail: str
    reachable: bool = True

    @classmethod
    def failed(cls, error: Exception, uri: str) -> Self:
        """What is said of an error on the way to a server or database."""
        where = mlflow_client.redact_url(uri)
        if mlflow_client.unreachable(error):
            return cls(False, f"{where} cannot be reached", reachable=False)
        reason = " ".join(str(error).split()) or type(error).__name__
        return cls(False, mlflow_client.redact_url(reason)[:_DETAIL_LENGTH])


class _Fold(BaseModel):
    """What was sent of a fold: the child run, its start (ms since 1970), per stage the next epoch to send."""

    run: str
    started: int
    epochs: dict[str, int] = Field(default_factory=dict)


class _Target(BaseModel):
    """What was sent to one tracking URI: the parent run, the folds, and the digest of each file when it was sent."""

    experiment: str
    parent: str
    started: int
    folds: dict[int, _Fold] = Field(default_factory=dict)
    sent: dict[str, str] = Field(default_factory=dict)


class SyncState(BaseModel):
    schema_version: Literal[1] = 1
    targets: dict[str, _Target] = Field(default_factory=dict)


class Tracker:
    """Sends one run to one tracking server or database.

    Args:
        run_dir: The run's folder.
        uri: MLflow's tracking URI; by default :func:`aubench.tracking.mlflow_client.default_uri`.
    """

    def __init__(self, run_dir: Path, uri: str | None = None) -> None:
        self.run_dir = run_dir
        self.uri = mlflow_client.resolve(uri or default_uri())

    def sync(self) -> SyncResult:
        """Send what was not sent yet. Never raises: tracking must not cost a run."""
        try:
            with FileLock(self.run_dir / f".{FILE}.lock", timeout=_LOCK_SECONDS):
                return self._sync()
        except Timeout:
            return SyncResult(False, "another process is sending this run")
        except Exception as error:
            return SyncResult.failed(error, self.uri)

    def _sync(self) -> SyncResult:
        run = TrackedRun.open(self.run_dir)
        sending = Uploader(mlflow_client.connect(self.uri), run, mlflow_client.redact_url(self.uri))
        if not sending.begin(self.uri):
            return SyncResult(True, "was deleted in MLflow and is left alone")
        for fold in run.folds:
            sending.fold(fold)
        sending.whole()
        return SyncResult(True, sending.summary())


class Uploader:
    """One pass over one run."""

    def __init__(self, client: MlflowClient, run: TrackedRun, target: str) -> None:
        self._client, self._run, self._name = client, run, target
        self._path = run.run_dir / FILE
        self._ledger = _read_ledger(self._path)
        self._count: Counter[str] = Counter()

    @property
    def _target(self) -> _Target:
        return self._ledger.targets[self._name]

    def begin(self, uri: str) -> bool:
        """Find or create the parent run; False where the user has deleted it."""
        known = self._ledger.targets.get(self._name)
        stage = self._stage(known.parent) if known else None
        if stage is None:
            experiment = mlflow_client.experiment(self._client, uri, self._run.experiment)
            self._ledger.targets[self._name] = self._find_run(experiment) or self._created(experiment)
            self._save()
        return stage != "deleted"

    def fold(self, fold: int) -> None:
        """Send a fold's new epochs, and its predictions and scores once they are there."""
        epochs = self._run.epochs(fold)
        if fold not in self._target.folds:
            self._target.folds[fold] = self._child(fold, self._run.training_started(fold, epochs))
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
        with self._if_changed(f"fold{fold}/{RESULT}", "finished fold") as due:
            if due:
                self._finish(state.run, self._run.result_points(fold, state.started))

    def whole(self) -> None:
        """Send what concerns the whole run: parameters, files, and the headline once the record is there."""
        parent = self._target.parent
        with self._if_changed(HEADER, "description", "parameters") as due:
            if due:
                mlflow_client.log_params(self._client, parent, self._run.params())
        for name in self._run.files():
            self._send_file(parent, name, name.rpartition("/")[0] or None)
        with self._if_changed(RECORD, "headline", "headline") as due:
            if due:
                self._finish(parent, self._run.record_points(self._target.started))

    def summary(self) -> str:
        """What was sent, in words."""
        counts = [f"{count} {what}{'s' if count > 1 else ''}" for what, count in self._count.items()]
        said = f"sent {', '.join(counts)}" if counts else "nothing new"
        left = self._run.skipped
        return (
            f"{said}; left out: {', '.join(left[:3])}{f' and {len(left) - 3} more' if len(left) > 3 else ''}"
            if left
            else said
        )

    def _find_run(self, experiment: str) -> _Target | None:
        """The run as MLflow has it, if an earlier pass sent it and its notes were lost."""
        parents = [run.info for run in self._search(experiment) if _FOLD_TAG not in run.data.tags]
        if not parents:
            return None
        return _Target(experiment=experiment, parent=parents[0].run_id, started=parents[0].start_time)

    def _search(self, experiment: str, **tags: str) -> list[Run]:
        tags = self._run.identity | tags
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        return list(self._client.search_runs([experiment], wanted, order_by=["attributes.start_time ASC"]))

    def _created(self, experiment: str) -> _Target:
        started = self._run.started()
        run = self._client.create_run(experiment, started, self._run.tags(), self._run.name)
        return _Target(experiment=experiment, parent=run.info.run_id, started=started)

    def _child(self, fold: int, started: int) -> _Fold:
        own = {_FOLD_TAG: str(fold), "mlflow.parentRunId": self._target.parent}
        for run in self._search(self._target.experiment, **own):
            return _Fold(run=run.info.run_id, started=run.info.start_time)
        tags, name = self._run.tags() | own, f"{self._run.name}-fold{fold}"
        run = self._client.create_run(self._target.experiment, started, tags, name)
        return _Fold(run=run.info.run_id, started=started)

    def _send_file(self, run: str, name: str, place: str | None) -> None:
        with self._if_changed(name, "file") as due:
            if due:
                self._client.log_artifact(run, str(self._run.run_dir / name), place)

    def _finish(self, run: str, points: Sequence[Point]) -> None:
        mlflow_client.log_points(self._client, run, points)
        ended = max((point.timestamp for point in points), default=None)
        self._client.set_terminated(run, "FINISHED", ended)

    def _stage(self, run: str) -> str | None:
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_run(run).info.lifecycle_stage)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    @contextmanager
    def _if_changed(self, name: str, what: str, entry: str | None = None) -> Iterator[bool]:
        """Whether the file ``name`` is there and was not sent as it is; noted as sent where the block succeeds."""
        entry, path = entry or name, self._run.run_dir / name
        now = hashing.hash_file(path) if path.is_file() else None
        due = now is not None and self._target.sent.get(entry) != now
        yield due
        if due and now:
            self._target.sent[entry] = now
            self._count[what] += 1
            self._save()

    def _save(self) -> None:
        atomic.write_json(self._path, self._ledger.model_dump(mode="json"))


def _read_ledger(path: Path) -> SyncState:
    """The notes of earlier passes; none where they are missing or damaged, since all can be found again."""
    try:
        return SyncState.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return SyncState()


def send_all(run_dirs: Sequence[Path], uri: str | None = None) -> Iterator[tuple[Path, SyncResult]]:
    """Send several runs; once no server answers, the rest is not tried."""
    lost: SyncResult | None = None
    for run_dir in run_dirs:
        result = lost or Tracker(run_dir, uri).sync()
        lost = lost or (None if result.reachable else result)
        yield run_dir, result
