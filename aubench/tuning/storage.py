"""Storages of studies, and Optuna's samplers and pruners by name, with explicit arguments."""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from aubench._util.paths import redact_url, sqlite_url
from aubench.core.errors import AubenchError, UsageError, suggest
from aubench.core.user_paths import expand_home
from aubench.tuning import database

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from sqlalchemy.engine import URL

SAMPLERS = ("tpe", "gp", "random", "cmaes")
PRUNERS = ("hyperband", "median", "none")
JOURNAL = "journal:"
DATABASE = "studies.db"

_STARTUP = 5
"""Number of first trials that are drawn at random and never pruned."""
_BUSY_SECONDS = 60
_ENTRY = b'{"op_code":'
"""Begin of each entry of a journal."""


def storage_url(storage: str | None, runs: Path) -> str:
    """Return the given storage with ``~`` expanded, or the URL of an SQLite file in ``runs`` if None."""
    return expand_home(str(storage)) if storage else sqlite_url(runs / DATABASE)


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
        UsageError: The storage is neither, cannot be reached, belongs to another application, or its driver is not
            installed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if not storage.startswith(JOURNAL) and "://" not in storage:
        is_path = storage.endswith((".db", ".sqlite", ".sqlite3")) and ":" not in storage
        hint = f"give sqlite:///{storage if is_path else 'FILE'} or {JOURNAL}PATH"
        raise UsageError(f"'{storage}' is not a storage", where="--storage", hint=hint)
    try:
        return _journal(storage) if storage.startswith(JOURNAL) else _database(storage)
    except AubenchError:
        raise
    except Exception as error:  # drivers, Optuna and the system have many kinds of errors
        raise UsageError(f"cannot be used as storage ({_brief(error)})", where=redact_url(storage)) from None


def require_file(storage: str) -> None:
    """Check that the file of a storage exists, for commands that only read it. Servers and memory have no file.

    Raises:
        UsageError: It does not exist.
    """
    if storage.startswith(JOURNAL):
        path: Path | None = Path(storage.removeprefix(JOURNAL)).absolute()
    else:
        path = database.sqlite_path(database.parse_url(storage)) if storage.startswith("sqlite") else None
    if path is not None and not path.exists():
        raise UsageError("has no studies", where=path, hint="search with `aubench tune`, or give another --storage")


def _journal(storage: str) -> BaseStorage:
    from optuna.storages import JournalStorage

    from aubench.tuning.journal import SafeJournal

    name = storage.removeprefix(JOURNAL)
    if not name.strip() or "://" in name or re.match(r"//[^/]", name):
        what = "is not the path of a file" if name.strip() else "names no file"
        raise UsageError(what, where=redact_url(storage), hint=f"give {JOURNAL}PATH")
    path = Path(name).absolute()
    if path.is_dir():
        raise UsageError("is a folder", where=storage, hint=f"give {JOURNAL}PATH with the path of a file")
    if path.exists() and not _is_journal(path):
        raise UsageError("is not a journal of Optuna", where=path, hint="restore it, or give another file")
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(SafeJournal(str(path)))


def _is_journal(path: Path) -> bool:
    """Return whether the first and the last complete line of a file are entries of Optuna.

    A worker that dies or is still writing leaves a part of an entry, which the next entry replaces.
    """
    *lines, rest = path.read_bytes().split(b"\n")
    try:
        entries = [json.loads(line) for line in (*lines[:1], *lines[-1:])]
    except ValueError:
        return False
    is_entry = rest.startswith(_ENTRY) or _ENTRY.startswith(rest)
    return is_entry and all(isinstance(entry, dict) and "op_code" in entry for entry in entries)


def _database(storage: str) -> BaseStorage:
    url = database.parse_url(storage)
    path = database.sqlite_path(url) if url.get_backend_name() == "sqlite" else None
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=_BUSY_SECONDS):
            return _rdb_storage(storage, url, {"connect_args": {"timeout": _BUSY_SECONDS}})
    options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": database.CONNECT_SECONDS}}
    try:
        return _rdb_storage(storage, url, options)
    except AubenchError:
        raise
    except Exception:  # another worker may have just created the tables
        time.sleep(1)
        return _rdb_storage(storage, url, options)


def _rdb_storage(storage: str, url: URL, options: dict[str, Any]) -> BaseStorage:
    from optuna.storages import RDBStorage

    tables, revisions = database.tables_and_revisions(url)
    is_other = {"studies", "trials"} & tables and "version_info" not in tables
    if is_other or (revisions and not any(map(database.is_of_optuna, revisions))):
        raise database.foreign_tables(tables, storage, "the search")
    try:
        return RDBStorage(storage, engine_kwargs=options)
    except RuntimeError as error:
        upgrade = "upgrade it by `optuna storage upgrade`" if "storage upgrade" in str(error) else "give another one"
        raise UsageError(
            "has the tables of another version of Optuna", where=redact_url(storage), hint=upgrade
        ) from None


def check_name(value: object, names: Sequence[str], option: str) -> None:
    """Check that a sampler or a pruner exists.

    Raises:
        UsageError: There is none of this name.
    """
    if value not in names:
        raise UsageError(f"cannot be {value!r}", where=option, hint=suggest(value, names))


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Create a sampler.

    Args:
        name: One of :data:`SAMPLERS`.
        seed: Seed, of which the lowest 32 bits are used.

    Raises:
        UsageError: There is no such sampler.
    """
    from optuna import samplers

    check_name(name, SAMPLERS, "--sampler")
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

    Raises:
        UsageError: There is no such pruner.
    """
    from optuna import pruners

    check_name(name, PRUNERS, "--pruner")
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
