"""The one door to MLflow: opened late, quiet, quick to give up, its database created once.

MLflow takes a second to import, so nothing here imports it before it is needed.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from aubench.core.errors import DataError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""What is set in the environment before MLflow is imported, each unless the user has set it."""

_METRICS_A_BATCH = 1000
_ENTRIES_A_BATCH = 100
_KEY_LENGTH = 250
_VALUE_LENGTH = 4000


@dataclass(frozen=True)
class Point:
    """One value of a metric.

    Attributes:
        key: Its name, as MLflow allows it.
        value: A finite number.
        timestamp: Milliseconds since 1970.
        step: The epoch.
    """

    key: str
    value: float
    timestamp: int
    step: int = 0


def default_uri() -> str:
    """The user's ``MLFLOW_TRACKING_URI``, else an SQLite file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def resolve(uri: str) -> str:
    """Make the path in an SQLite URI absolute; any other URI stays as it is."""
    path = _sqlite_path(uri)
    return uri if path is None else f"sqlite:///{path}"


def redact_url(text: str) -> str:
    """A URI, or a text with URIs in it, without user names and passwords."""
    return re.sub(r"://[^/@\s]+@", "://***@", text)


def key(*parts: str) -> str:
    """Join ``parts`` by slashes into a name that MLflow allows for a metric, parameter or tag."""
    allowed = re.sub(r"[^\w./ -]", "_", "/".join(parts))
    return "/".join(part for part in allowed.split("/") if part.strip(". "))[:_KEY_LENGTH] or "_"


def connect(uri: str) -> MlflowClient:
    """Open a client; an SQLite database is created if missing, by one process at a time.

    Telemetry is turned off unless the environment speaks of it.

    Raises:
        DataError: The SQLite file cannot be opened or is none.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    if "DO_NOT_TRACK" not in os.environ:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    path = _sqlite_path(uri)
    if path is None:
        return MlflowClient(tracking_uri=uri)
    _check_writable(path)
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=60):
        return MlflowClient(tracking_uri=uri)


def experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Id of the experiment ``name``, which is created if missing.

    Artifacts of an SQLite database lie in ``mlruns`` beside it; a server decides for itself.

    Raises:
        DataError: Somebody has deleted the experiment.
    """
    from mlflow.exceptions import MlflowException

    path = _sqlite_path(uri)
    place = None if path is None else (path.parent / "mlruns" / key(name)).as_uri()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException:  # somebody else has just created it
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise DataError("the experiment has been deleted", where=name, hint="restore it in MLflow")
    return str(found.experiment_id)


def log_points(client: MlflowClient, run: str, points: Iterable[Point]) -> None:
    """Log metrics to ``run`` in batches; a point that is there already is not stored twice."""
    from mlflow.entities import Metric

    metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
    for start in range(0, len(metrics), _METRICS_A_BATCH):
        client.log_batch(run, metrics=metrics[start : start + _METRICS_A_BATCH])


def log_params(client: MlflowClient, run: str, params: Mapping[str, Any]) -> None:
    """Log parameters to ``run`` in batches, each cut to the length that MLflow stores."""
    from mlflow.entities import Param

    entries = [Param(key(name), _truncate(value)) for name, value in params.items()]
    for start in range(0, len(entries), _ENTRIES_A_BATCH):
        client.log_batch(run, params=entries[start : start + _ENTRIES_A_BATCH])


def unreachable(error: BaseException | None) -> bool:
    """Whether no server answered: somewhere behind ``error`` is a failed HTTP request."""
    from requests.exceptions import RequestException

    while error is not None:
        if isinstance(error, RequestException):
            return True
        error = error.__cause__ or error.__context__
    return False


def _truncate(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…"


def _sqlite_path(uri: str) -> Path | None:
    found = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", uri)
    return Path(found[1]).absolute() if found else None


def _check_writable(path: Path) -> None:
    """Fail at once where MLflow would try for minutes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA schema_version")
        finally:
            connection.close()
    except (OSError, sqlite3.DatabaseError) as error:
        raise DataError(f"cannot be used as MLflow's database ({error})", where=path) from None
