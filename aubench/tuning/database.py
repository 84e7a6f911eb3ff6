"""URLs of databases that a user types: validation before Optuna or MLflow opens them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from aubench._util.paths import redact_url
from aubench.core.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

KINDS = "sqlite, postgresql, mysql"
CONNECT_SECONDS = 10
_ALEMBIC = "alembic_version"
_OPTUNA_REVISION = re.compile(r"v\d+\.\d+\.\d+\.\w+")
_REMEDIES = {
    "postgresql": "install psycopg",
    "mysql": "write mysql+pymysql:// and install pymysql",
    "mysql+pymysql": "install pymysql",
}


def parse_url(text: str) -> URL:
    """Parse the URL of a database and import its driver.

    Raises:
        UsageError: The URL is invalid, in memory or a folder, or there is no such database or driver.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    where = redact_url(text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        hint = "give one such as sqlite:///FILE or postgresql://USER@HOST/BASE"
        raise UsageError("is not a valid URL of a database", where=where, hint=hint) from None
    kind = url.get_backend_name()
    try:
        url.get_dialect().import_dbapi()
    except NoSuchModuleError:
        hint = "write postgresql://" if kind.startswith("postgres") else f"use {KINDS}"
        raise UsageError(f"no database or driver '{url.drivername}'", where=where, hint=hint) from None
    except ImportError as error:
        remedy = _REMEDIES.get(url.drivername) or _REMEDIES.get(kind, f"use {KINDS}")
        raise UsageError(f"has no driver ({error})", where=where, hint=remedy) from None
    if kind == "sqlite":
        path = sqlite_path(url)
        if path is None:
            raise UsageError("is in memory and lost afterwards", where=where, hint="give sqlite:///FILE")
        if path.is_dir():
            raise UsageError("is a folder", where=where, hint="give the file of a database")
    return url


def sqlite_path(url: URL) -> Path | None:
    """Return the absolute path of an SQLite database; None if it is in memory."""
    in_memory = not url.database or ":memory:" in url.database or "mode=memory" in url.database
    return None if in_memory or url.database is None else Path(url.database.removeprefix("file:")).absolute()


def tables_and_revisions(url: URL) -> tuple[set[str], list[str]]:
    """Return the names of the tables in a database, and the revisions that Alembic stored there."""
    from sqlalchemy import create_engine, inspect, text

    path = sqlite_path(url) if url.get_backend_name() == "sqlite" else None
    if path is not None and not path.exists():
        return set(), []
    timeout = {} if path is not None else {"connect_args": {"connect_timeout": CONNECT_SECONDS}}
    engine = create_engine(url, **timeout)
    try:
        with engine.connect() as connection:
            tables = set(inspect(connection).get_table_names())
            rows = connection.execute(text("SELECT version_num FROM alembic_version")) if _ALEMBIC in tables else ()
            return tables, [str(row[0]) for row in rows]
    finally:
        engine.dispose()


def foreign_tables(tables: Iterable[str], url: str, user: str) -> UsageError:
    """Create the error of a database that another application uses.

    Args:
        tables: Names of its tables.
        url: URL of the database as given.
        user: Application that needs a database.
    """
    names = ", ".join(sorted(tables)[:5])
    what = f"holds tables of another application ({names})"
    return UsageError(what, where=redact_url(url), hint=f"give {user} a database of its own")


def is_of_optuna(revision: str) -> bool:
    """Return whether a revision of Alembic is one of Optuna's."""
    return _OPTUNA_REVISION.fullmatch(revision) is not None
