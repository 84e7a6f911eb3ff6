"""Export of studies to MLflow: a parent run per study and a child run per finished trial.

Tags identify the runs. Sending twice therefore changes nothing, and workers on several machines share a parent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench.core import hashing
from aubench.core.system_files import children
from aubench.tracking import mlflow_client
from aubench.tracking.mlflow_client import Point
from aubench.tracking.sync import SyncResult, send_alone
from aubench.tuning.search_config import STUDIES
from aubench.tuning.study_files import STUDY_FILE, read_header, read_trial_files, total_cost

if TYPE_CHECKING:
    from mlflow import MlflowClient

_STUDY, _TRIAL, _SENT = "aubench.study", "aubench.trial", "aubench.study_file"
_PAGE = 1000


class Tracking:
    """Synchronisation of a running study. An error is reported once and never fails a trial.

    Args:
        folder: Folder of the study.
        say: Function that receives the first error message.
        uri: MLflow's tracking URI, the default URI if None.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], uri: str | None = None) -> None:
        self._folder, self._say, self._uri = folder, say, uri
        self._failed = False

    def send(self) -> None:
        """Send new trials."""
        if self._failed:
            return
        result = sync(self._folder, self._uri)
        if not result.ok:
            self._failed = True
            self._say(f"tracking: {result.detail}; `aubench track sync` sends it later")


def sync(folder: Path, uri: str | None = None) -> SyncResult:
    """Send the new trials of a study. Never raises."""
    if not mlflow_client.is_installed():
        return SyncResult(False, mlflow_client.MISSING)
    uri = mlflow_client.resolve(uri or mlflow_client.default_uri())
    busy = SyncResult(True, "is being sent by another process")
    return send_alone(lambda: _send(folder, uri), folder / ".tracking.lock", uri, busy)


def folders(runs: Path) -> list[Path]:
    """Return the folders of all studies under the folder of all runs."""
    return [folder for folder in children(runs / STUDIES) if (folder / STUDY_FILE).is_file()]


def _send(folder: Path, uri: str) -> SyncResult:
    header, trials = read_header(folder), read_trial_files(folder)
    client = mlflow_client.connect(uri)
    experiment = mlflow_client.experiment(client, uri, f"aubench/{header['protocol_name']}")
    existing, finished, deleted = _existing_runs(client, experiment, header)
    if None in deleted:
        return SyncResult(True, "was deleted in MLflow and is left alone")
    parent = existing.get(None) or _create_run(client, experiment, header, None, None)
    new = [trial for trial in trials if str(trial["trial"]) not in finished | deleted]
    for trial in new:
        run = existing.get(str(trial["trial"])) or _create_run(client, experiment, header, parent, trial["trial"])
        _send_trial(client, run, trial)
    _send_study(client, parent, folder, trials)
    return SyncResult(True, f"sent {len(new)} trial{'s' if len(new) != 1 else ''}" if new else "nothing new")


def _existing_runs(
    client: MlflowClient, experiment: str, header: Mapping[str, Any]
) -> tuple[dict[str | None, str], set[str | None], set[str | None]]:
    """Return the ids of the study's runs in MLflow by trial, the finished trials, and those that the user has deleted.

    The parent's key is None.
    """
    from mlflow.entities import ViewType

    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in _tags(header).items())
    ids: dict[str | None, str] = {}
    finished: set[str | None] = set()
    deleted: set[str | None] = set()
    page: str | None = None
    while True:
        runs = client.search_runs([experiment], query, ViewType.ALL, max_results=_PAGE, page_token=page)
        for run in runs:
            trial = run.data.tags.get(_TRIAL)
            if run.info.lifecycle_stage == "deleted":
                deleted.add(trial)
                continue
            if trial not in finished:
                ids[trial] = run.info.run_id
            if run.info.status == "FINISHED":
                finished.add(trial)
        page = runs.token
        if not page:
            return ids, finished, deleted - ids.keys()


def _tags(header: Mapping[str, Any]) -> dict[str, str]:
    return {_STUDY: str(header["study"]), _SENT: hashing.hash_json(dict(header))}


def _create_run(
    client: MlflowClient, experiment: str, header: Mapping[str, Any], parent: str | None, trial: int | None
) -> str:
    tags, name = _tags(header), str(header["study"])
    if parent is not None:
        tags |= {"mlflow.parentRunId": parent, _TRIAL: str(trial)}
        name = f"{name}-trial{trial}"
    run = client.create_run(experiment, tags={**tags, "mlflow.source.name": "aubench"}, run_name=name)
    if parent is None:
        names = ("method", "protocol_name", "preset", "sampler", "pruner", "seed", "folds", "fixed", "precision")
        mlflow_client.log_params(client, run.info.run_id, {name: header[name] for name in names})
    return str(run.info.run_id)


def _send_trial(client: MlflowClient, run: str, trial: Mapping[str, Any]) -> None:
    now = int(client.get_run(run).info.start_time)
    seconds, frames = total_cost([trial["cost"]])
    mlflow_client.log_params(client, run, {"state": trial["state"], **trial["values"]})
    metrics = {"seconds": seconds, "frames": float(frames)} | ({} if trial["f1"] is None else {"f1": trial["f1"]})
    points = [Point(mlflow_client.key("validation", "f1"), value, now, step) for step, value in trial["epochs"]]
    mlflow_client.log_points(client, run, [*points, *(Point(name, value, now) for name, value in metrics.items())])
    client.set_terminated(run, "FINISHED")


def _send_study(client: MlflowClient, parent: str, folder: Path, trials: list[dict[str, Any]]) -> None:
    now = int(client.get_run(parent).info.start_time)
    seconds, frames = total_cost([trial["cost"] for trial in trials])
    values = [trial["f1"] for trial in trials if trial["f1"] is not None]
    metrics = {"trials": len(trials), "seconds": seconds, "frames": frames}
    metrics |= {"best_f1": max(values)} if values else {}
    points = [Point(name, float(value), now, len(trials)) for name, value in metrics.items()]
    mlflow_client.log_points(client, parent, points)
    for path in sorted([folder / STUDY_FILE, *children(folder, "*.png"), *children(folder, "*.html")]):
        client.log_artifact(parent, str(path))
    client.set_terminated(parent, "FINISHED")
