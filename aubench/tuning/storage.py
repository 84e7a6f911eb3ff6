"""Storages of studies, and Optuna's samplers and pruners by name, with explicit arguments."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from aubench._util.redact import redact_url
from aubench.core.errors import UsageError, suggest

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

SAMPLERS = ("tpe", "gp", "random", "cmaes")
PRUNERS = ("hyperband", "median", "none")
JOURNAL = "journal:"
DATABASE = "studies.db"

_STARTUP = 5
"""Number of first trials that are drawn at random and never pruned."""
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
_CONNECT_SECONDS = 10
_BUSY_SECONDS = 60


def storage_url(storage: str | None, runs: Path) -> str:
    """Return the given storage, or the URL of an SQLite file in ``runs`` if None."""
    return storage or f"sqlite:///{(runs / DATABASE).absolute()}"


@contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Convert storage errors to `UsageError`.

    Raises:
        UsageError: The storage cannot be reached, or an operation failed.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise UsageError(f"cannot be used as storage ({_brief(error)})", where=redact_url(storage)) from None


def open_storage(storage: str) -> BaseStorage:
    """Open a storage, and create its file or tables if needed.

    Args:
        storage: ``journal:PATH``, or the URL of a database in SQLAlchemy's notation.

    Raises:
        UsageError: The storage is neither, cannot be reached, or its driver is not installed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if not storage.startswith(JOURNAL) and "://" not in storage:
        raise UsageError(f"'{storage}' is not a storage", where="--storage", hint=f"give a URL, or {JOURNAL}PATH")
    try:
        with storage_errors(storage):
            return _journal(storage) if storage.startswith(JOURNAL) else _database(storage)
    except ImportError as error:
        driver = next((name for kind, name in _DRIVERS.items() if storage.startswith(kind)), None)
        hint = f"install {driver}" if driver else "use sqlite, postgresql or mysql"
        raise UsageError(f"has no driver ({_brief(error)})", where=redact_url(storage), hint=hint) from None
    except OSError as error:
        raise UsageError(f"cannot be used as storage ({_brief(error)})", where=redact_url(storage)) from None


def _journal(storage: str) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = Path(storage.removeprefix(JOURNAL)).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path)))


def _database(url: str) -> BaseStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=_BUSY_SECONDS):
            return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _BUSY_SECONDS}})
    options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": _CONNECT_SECONDS}}
    try:
        return RDBStorage(url, engine_kwargs=options)
    except SQLAlchemyError:  # another worker may have just created the tables
        time.sleep(1)
        return RDBStorage(url, engine_kwargs=options)


def check_names(sampler: str, pruner: str) -> None:
    """Check that a sampler and a pruner exist.

    Raises:
        UsageError: One of them does not exist.
    """
    for value, names, option in ((sampler, SAMPLERS, "--sampler"), (pruner, PRUNERS, "--pruner")):
        if value not in names:
            raise UsageError(f"cannot be '{value}'", where=option, hint=suggest(value, names))


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Create a sampler.

    Args:
        name: One of :data:`SAMPLERS`.
        seed: Seed, of which the lowest 32 bits are used.
    """
    from optuna import samplers

    seed %= 2**32
    if name == "tpe":
        return samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=True, constant_liar=True)
    if name == "gp":
        return samplers.GPSampler(seed=seed, n_startup_trials=_STARTUP, deterministic_objective=False)
    if name == "cmaes":
        return samplers.CmaEsSampler(seed=seed, n_startup_trials=_STARTUP, warn_independent_sampling=False)
    return samplers.RandomSampler(seed=seed)


def make_pruner(name: str, epochs: int, folds: int) -> BasePruner:
    """Create a pruner.

    Args:
        name: One of :data:`PRUNERS`.
        epochs: Maximum number of epochs per fold.
        folds: Number of folds that a trial trains in sequence.
    """
    from optuna import pruners

    min_epochs = max(1, -(-epochs // 2))
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=min_epochs, max_resource=epochs * folds, reduction_factor=3)
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=min_epochs)
    return pruners.NopPruner()


def _brief(error: BaseException) -> str:
    """Return the first line of the innermost cause."""
    cause: BaseException = error
    while (inner := getattr(cause, "orig", None) or cause.__cause__) is not None:
        cause = inner
    lines = str(cause).strip().splitlines()
    return redact_url(lines[0]) if lines else type(cause).__name__
