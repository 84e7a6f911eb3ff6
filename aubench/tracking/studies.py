"""A study in MLflow, as a function of its folder: a parent run, a child for each finished trial.

Runs are found again by their tags, so sending twice changes nothing, and workers on several machines send to the
same parent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from aubench.core import hashing
from aubench.tracking import mlflow_client
from aubench.tracking.mlflow_client import Point
from aubench.tracking.sync import SyncResult
from aubench.tuning.search_config import STUDIES
from aubench.tuning.study_files import STUDY_FILE, TRIALS_FILE, total_cost

if TYPE_CHECKING:
    from mlflow import MlflowClient

_STUDY, _TRIAL, _SENT = "aubench.study", "aubench.trial", "aubench.study_file"
_PAGE = 1000
_LOCK_SECONDS = 10


class Tracking:
    """Sends a study while it goes on; trouble is told once and never costs a trial.

    Args:
        folder: The study's.
        say: Told the first trouble, and only that.
        uri: MLflow's tracking URI; the default one where None.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], uri: str | None = None) -> None:
        self._folder, self._say, self._uri = folder, say, uri
        self._broken = False

    def send(self) -> None:
        """Send what MLflow does not have."""
        if self._broken:
            return
        result = sync(self._folder, self._uri)
        if not result.ok:
            self._broken = True
            self._say(f"tracking: {result.detail}; `aubench track sync` sends it later")


def sync(folder: Path, uri: str | None = None) -> SyncResult:
    """Send what MLflow does not have of a study. Never raises."""
    uri = mlflow_client.resolve(uri or mlflow_client.default_uri())
    try:
        with FileLock(folder / ".tracking.lock", timeout=_LOCK_SECONDS):
            sent = _send(folder, uri)
        return SyncResult(True, f"sent {sent} trial{'s' if sent != 1 else ''}" if sent else "nothing new")
    except Timeout:
        return SyncResult(True, "is being sent by another process")
    except Exception as error:
        return SyncResult.failed(error, uri)


def folders(runs: Path) -> list[Path]:
    """The folders of all studies beside some runs."""
    return sorted(path.parent for path in (runs / STUDIES).glob(f"*/{STUDY_FILE}"))


def _send(folder: Path, uri: str) -> int:
    client = mlflow_client.connect(uri)
    header = json.loads((folder / STUDY_FILE).read_text())
    trials = [json.loads(path.read_text()) for path in sorted((folder / TRIALS_FILE).glob("*.json"))]
    experiment = mlflow_client.experiment(client, uri, f"aubench/{header['protocol_name']}")
    known = _known(client, experiment, header)
    parent = known.get(None) or _created(client, experiment, header, None, None)
    new = [trial for trial in trials if str(trial["trial"]) not in known]
    for trial in new:
        _send_trial(client, _created(client, experiment, header, parent, trial["trial"]), header, trial)
    _send_whole(client, parent, folder, header, trials)
    return len(new)


def _known(client: MlflowClient, experiment: str, header: Mapping[str, Any]) -> dict[str | None, str]:
    """Runs that MLflow has of the study, by trial; the parent's under None. A trial that was not ended is not had."""
    wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in _tags(header).items())
    found: dict[str | None, str] = {}
    page: str | None = None
    while True:
        runs = client.search_runs([experiment], wanted, max_results=_PAGE, page_token=page)
        for run in runs:
            trial = run.data.tags.get(_TRIAL)
            if trial is None or run.info.status == "FINISHED":
                found[trial] = run.info.run_id
        page = runs.token
        if not page:
            return found


def _tags(header: Mapping[str, Any]) -> dict[str, str]:
    return {_STUDY: str(header["study"]), _SENT: hashing.hash_json(dict(header))}


def _created(
    client: MlflowClient, experiment: str, header: Mapping[str, Any], parent: str | None, trial: int | None
) -> str:
    tags, name = _tags(header), str(header["study"])
    if parent is not None:
        tags |= {"mlflow.parentRunId": parent, _TRIAL: str(trial)}
        name = f"{name}-trial{trial}"
    run = client.create_run(experiment, tags={**tags, "mlflow.source.name": "aubench"}, run_name=name)
    if parent is None:
        kept = ("method", "protocol_name", "preset", "sampler", "pruner", "seed", "folds", "fixed", "precision")
        mlflow_client.log_params(client, run.info.run_id, {key: header[key] for key in kept})
    return str(run.info.run_id)


def _send_trial(client: MlflowClient, run: str, header: Mapping[str, Any], trial: Mapping[str, Any]) -> None:
    now = int(client.get_run(run).info.start_time)
    seconds, frames = total_cost([trial["cost"]])
    mlflow_client.log_params(client, run, {"state": trial["state"], **trial["values"]})
    told = {"seconds": seconds, "frames": float(frames)} | ({} if trial["f1"] is None else {"f1": trial["f1"]})
    points = [Point(mlflow_client.key("validation", "f1"), value, now, step) for step, value in trial["epochs"]]
    mlflow_client.log_points(client, run, [*points, *(Point(name, value, now) for name, value in told.items())])
    client.set_terminated(run, "FINISHED")


def _send_whole(
    client: MlflowClient, parent: str, folder: Path, header: Mapping[str, Any], trials: list[dict[str, Any]]
) -> None:
    now = int(client.get_run(parent).info.start_time)
    seconds, frames = total_cost([trial["cost"] for trial in trials])
    values = [trial["f1"] for trial in trials if trial["f1"] is not None]
    told = {"trials": len(trials), "seconds": seconds, "frames": frames} | ({"best_f1": max(values)} if values else {})
    points = [Point(name, float(value), now, len(trials)) for name, value in told.items()]
    mlflow_client.log_points(client, parent, points)
    for path in sorted([folder / STUDY_FILE, *folder.glob("*.png"), *folder.glob("*.html")]):
        client.log_artifact(parent, str(path))
    client.set_terminated(parent, "FINISHED")
