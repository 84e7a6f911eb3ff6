"""Paths in environment variables, the default folder of stores, and URLs of databases and servers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

from aubench.core.errors import UsageError
from aubench.core.user_paths import expand_home


def from_environment(variable: str) -> str | None:
    """Return the value of an environment variable with ``~`` expanded, or None if it is unset or blank."""
    value = os.environ.get(variable, "").strip()  # a .env file of Windows ends lines with CR
    return expand_home(value) if value else None


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite file, as the installed SQLAlchemy reads it: newer versions decode ``%`` in it.

    Raises:
        UsageError: The path has a question mark, which would end it and make another file the database.
    """
    if "?" in str(path.absolute()):
        raise UsageError("has a '?', which ends a database's path", where=path.absolute(), hint="rename the folder")
    from sqlalchemy import URL  # not for commands that only print

    return URL.create("sqlite", database=str(path.absolute())).render_as_string()


def default_root() -> Path:
    """Return the default folder of stores, which ``AUBENCH_STORES`` overrides.

    Raises:
        UsageError: The user has no home folder, or one in which no folder can be created.
    """
    folder = from_environment("AUBENCH_STORES")
    if folder is not None:
        return Path(folder)
    hint = "set AUBENCH_STORES to a writable folder"
    try:
        default = Path(platformdirs.user_data_dir("aubench"), "stores")
    except RuntimeError:
        raise UsageError("the home folder is unknown", hint=hint) from None
    existing = next(parent for parent in (default, *default.parents) if parent.exists())
    if not default.is_absolute() or not (default == existing or (existing.is_dir() and os.access(existing, os.W_OK))):
        raise UsageError("cannot be created", where=default, hint=hint)
    return default


def redact_url(text: str) -> str:
    """Replace user names and passwords in the URLs of a text."""
    return re.sub(r"://[^/\s]+@", "://***@", text)
