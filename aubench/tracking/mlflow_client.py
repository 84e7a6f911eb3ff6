"""Thin MLflow client: lazy import, short time-outs, no console output, one creation of the SQLite file."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from aubench._util.paths import from_environment, sqlite_url
from aubench.core.errors import DataError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a server may name hours
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # errors are raised too, and MLflow logs them with a traceback
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Environment variables that are set before MLflow is imported unless the user has set them."""

MISSING = "needs the package 'mlflow', which is not installed; pip install 'aubench[track]'"
"""Error where :func:`is_installed` returns False."""

_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_KEY_LENGTH = 250
_VALUE_LENGTH = 4000


@dataclass(frozen=True)
class Point:
    """Value of a metric.

    Attributes:
        key: Name that MLflow accepts.
        value: Finite number.
        timestamp: Milliseconds since 1970.
        step: Epoch.
    """

    key: str
    value: float
    timestamp: int
    step: int = 0


def is_installed() -> bool:
    """Return whether MLflow is installed, without the time of its import."""
    return importlib.util.find_spec("mlflow") is not None


def default_uri() -> str:
    """Return ``MLFLOW_TRACKING_URI`` or the URI of an SQLite file in the working directory."""
    return from_environment("MLFLOW_TRACKING_URI") or sqlite_url(Path("mlflow.db"))


def resolve(uri: str) -> str:
    """Return the URI with an absolute path if it is an SQLite URI."""
    path = _sqlite_path(uri)
    return uri if path is None else f"sqlite:///{path}"


def key(*parts: str) -> str:
    """Join ``parts`` by slashes to a name that MLflow accepts for a metric, parameter or tag."""
    allowed = re.sub(r"[^\w./ -]", "_", "/".join(parts))
    return "/".join(part for part in allowed.split("/") if part.strip(". "))[:_KEY_LENGTH] or "_"


def connect(uri: str) -> MlflowClient:
    """Create a client. One process at a time creates a missing SQLite database.

    Telemetry is off unless ``DO_NOT_TRACK`` or ``MLFLOW_DISABLE_TELEMETRY`` is set.

    Raises:
        DataError: The SQLite file cannot be opened or has another format.
        UsageError: The URL of a database is invalid, or the database belongs to another application.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    if "DO_NOT_TRACK" not in os.environ:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    _check_database(uri)
    path = _sqlite_path(uri)
    if path is None:
        return MlflowClient(tracking_uri=uri)
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=60):
        return MlflowClient(tracking_uri=uri)


def experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Return the id of the experiment ``name``. Create it if missing.

    For an SQLite database, artifacts are stored in the folder ``mlruns`` next to it. A server has its own location.

    Raises:
        DataError: The experiment has been deleted.
    """
    from mlflow.exceptions import MlflowException

    path = _sqlite_path(uri)
    location = None if path is None else (path.parent / "mlruns" / key(name)).as_uri()
    existing = client.get_experiment_by_name(name)
    if existing is None:
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another process has just created it
            existing = client.get_experiment_by_name(name)
            if existing is None:
                raise
    if existing.lifecycle_stage == "deleted":
        raise DataError("the experiment has been deleted", where=name, hint="restore it in MLflow")
    return str(existing.experiment_id)


def log_points(client: MlflowClient, run: str, points: Iterable[Point]) -> None:
    """Log metrics to ``run`` in batches. MLflow stores equal points once."""
    from mlflow.entities import Metric

    metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
    for start in range(0, len(metrics), _METRICS_PER_BATCH):
        client.log_batch(run, metrics=metrics[start : start + _METRICS_PER_BATCH])


def log_params(client: MlflowClient, run: str, params: Mapping[str, Any]) -> None:
    """Log parameters to ``run`` in batches, truncated to MLflow's maximum length."""
    from mlflow.entities import Param

    entries = [Param(key(name), _truncate(value)) for name, value in params.items()]
    for start in range(0, len(entries), _PARAMS_PER_BATCH):
        client.log_batch(run, params=entries[start : start + _PARAMS_PER_BATCH])


def describe_no_answer(error: BaseException | None) -> str | None:
    """Describe the failed HTTP request that caused ``error``; None if another error did."""
    try:
        from requests.exceptions import ReadTimeout, RequestException
    except ModuleNotFoundError:  # MLflow itself is missing, which the error says
        return None
    while error is not None and not isinstance(error, RequestException):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    if status := re.search(r"too many (\d+) error responses", str(error)):
        return f"answers with the error {status[1]}"
    if isinstance(error, ReadTimeout) or "Read timed out" in str(error):
        return f"does not answer within {os.environ.get('MLFLOW_HTTP_REQUEST_TIMEOUT')} s"
    return "cannot be reached"


def _truncate(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…"


def _sqlite_path(uri: str) -> Path | None:
    from sqlalchemy import make_url

    from aubench.tuning import database

    return database.sqlite_path(make_url(uri)) if re.match(r"sqlite(\+\w+)?:///", uri) else None


def _check_database(uri: str) -> None:
    """Check the URL of a database, that an SQLite file can be opened, and that MLflow may use the tables."""
    from aubench.tuning import database

    if not re.match(r"(sqlite|postgres|mysql)[\w+]*:", uri):
        return
    url, path = database.parse_url(uri), _sqlite_path(uri)
    if path is not None:
        _check_writable(path)
    tables, revisions = database.tables_and_revisions(url)
    if revisions and ("experiments" not in tables or any(map(database.is_of_optuna, revisions))):
        raise database.foreign_tables(tables, uri, "MLflow")


def _check_writable(path: Path) -> None:
    """Check that the database can be opened. MLflow would retry for minutes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA schema_version")
        finally:
            connection.close()
    except (OSError, sqlite3.DatabaseError) as error:
        raise DataError(f"cannot be used as MLflow's database ({error})", where=path) from None
