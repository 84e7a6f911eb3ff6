"""Where studies live, and Optuna's samplers and pruners by name: every argument that matters is said."""

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
"""Trials that are drawn at random, or never pruned, before anything is learnt from others."""
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
_CONNECT_SECONDS = 10
_BUSY_SECONDS = 60


def storage_url(storage: str | None, runs: Path) -> str:
    """Where studies live: what the user says, else an SQLite file beside the runs."""
    return storage or f"sqlite:///{(runs / DATABASE).absolute()}"


@contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Tell trouble with the storage in one line.

    Raises:
        UsageError: It cannot be reached, or does not do what it is told.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise UsageError(f"cannot be used as storage ({_brief(error)})", where=redact_url(storage)) from None


def open_storage(storage: str) -> BaseStorage:
    """Open a storage, and create what is missing of it.

    Args:
        storage: ``journal:PATH``, or a database's URL as SQLAlchemy writes them.

    Raises:
        UsageError: It is neither, cannot be reached, or its driver is not installed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if not storage.startswith(JOURNAL) and "://" not in storage:
        raise UsageError(f"'{storage}' is no storage", where="--storage", hint=f"give a URL, or {JOURNAL}PATH")
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
    except SQLAlchemyError:  # perhaps another worker has just made the tables
        time.sleep(1)
        return RDBStorage(url, engine_kwargs=options)


def check_names(sampler: str, pruner: str) -> None:
    """Refuse samplers and pruners that do not exist.

    Raises:
        UsageError: One does not.
    """
    for value, known, option in ((sampler, SAMPLERS, "--sampler"), (pruner, PRUNERS, "--pruner")):
        if value not in known:
            raise UsageError(f"cannot be '{value}'", where=option, hint=suggest(value, known))


def make_sampler(name: str, seed: int) -> BaseSampler:
    """A sampler.

    Args:
        name: One of :data:`SAMPLERS`.
        seed: Any number; its lowest 32 bits count.
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
    """A pruner.

    Args:
        name: One of :data:`PRUNERS`.
        epochs: Most epochs of a fold.
        folds: How many folds a trial trains, one after the other.
    """
    from optuna import pruners

    least = max(1, -(-epochs // 2))
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=least, max_resource=epochs * folds, reduction_factor=3)
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=least)
    return pruners.NopPruner()


def _brief(error: BaseException) -> str:
    """The first line of the innermost reason."""
    cause: BaseException = error
    while (inner := getattr(cause, "orig", None) or cause.__cause__) is not None:
        cause = inner
    lines = str(cause).strip().splitlines()
    return redact_url(lines[0]) if lines else type(cause).__name__
