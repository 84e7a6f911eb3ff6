"""Results of earlier verifications on this machine, in an SQLite file in the user's cache folder.

The file is never in the leaderboard, so no file of a pull request can make ``aubench leaderboard check`` skip a
computation. A result is reused only for the same bytes of the files of a record, by their SHA-256 or, where git says
that a folder is that of the base revision, by git's digest of the folder. The name of the file has a digest of the
source code. A file that is damaged or cannot be written is no error.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aubench.leaderboard.record_keys import RecordKeys, decoded

PREFIX = "verified-"
_LIMIT = 20_000
"""Most records, of all leaderboards."""
_TABLES = """
CREATE TABLE IF NOT EXISTS records (digest TEXT PRIMARY KEY, tree TEXT, keys TEXT);
CREATE TABLE IF NOT EXISTS facts (digest TEXT PRIMARY KEY, facts TEXT);
CREATE TABLE IF NOT EXISTS pages (inputs TEXT PRIMARY KEY, files TEXT);
"""

PageDigests = dict[str, str]
"""SHA-256 of each page by file name."""


class RecordIndex:
    """Index of verified records and of built pages.

    Args:
        path: SQLite file; None for an index that is always empty.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connections: dict[int, sqlite3.Connection | None] = {}

    @property
    def is_used(self) -> bool:
        """Whether the index can hold anything."""
        return self._path is not None

    def keys_by_tree(self) -> dict[str, RecordKeys]:
        """Return the keys of all records by git's digest of their folder."""
        by_tree = {}
        for tree, text in self._rows("SELECT tree, keys FROM records"):
            with suppress(TypeError, ValueError):
                by_tree[tree] = decoded(json.loads(text))
        return by_tree

    def keys(self, digest: str) -> RecordKeys | None:
        """Return the keys of a record by the digest of its files; None if it was not verified."""
        for (text,) in self._rows("SELECT keys FROM records WHERE digest = ?", digest):
            with suppress(TypeError, ValueError):
                return decoded(json.loads(text))
        return None

    def facts(self, digest: str) -> Any:
        """Return the facts of a record by the digest of its files; None if it was not verified."""
        for (text,) in self._rows("SELECT facts FROM facts WHERE digest = ?", digest):
            with suppress(ValueError):
                return json.loads(text)
        return None

    def pages(self, inputs: str) -> PageDigests | None:
        """Return the pages of a leaderboard by the digest of all that they depend on; None if it was not built."""
        for (text,) in self._rows("SELECT files FROM pages WHERE inputs = ?", inputs):
            with suppress(ValueError):
                files = json.loads(text)
                if isinstance(files, dict) and all(isinstance(digest, str) for digest in files.values()):
                    return files
        return None

    def add_records(self, records: Iterable[tuple[str, str, RecordKeys, Mapping[str, Any]]]) -> None:
        """Add records by digest and git's digest, and forget the oldest ones over the limit."""
        rows = [(digest, tree, json.dumps(keys), json.dumps(facts)) for digest, tree, keys, facts in records]
        if rows:
            oldest = f"SELECT digest FROM records ORDER BY rowid DESC LIMIT -1 OFFSET {_LIMIT}"
            self._write(
                ("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", [row[:3] for row in rows]),
                ("INSERT OR REPLACE INTO facts VALUES (?, ?)", [(row[0], row[3]) for row in rows]),
                (f"DELETE FROM facts WHERE digest IN ({oldest})", [()]),
                (f"DELETE FROM records WHERE digest IN ({oldest})", [()]),
            )

    def add_pages(self, inputs: str, files: PageDigests) -> None:
        """Add the pages of a leaderboard, and forget all but the last hundred."""
        oldest = "SELECT inputs FROM pages ORDER BY rowid DESC LIMIT -1 OFFSET 100"
        self._write(
            ("INSERT OR REPLACE INTO pages VALUES (?, ?)", [(inputs, json.dumps(files))]),
            (f"DELETE FROM pages WHERE inputs IN ({oldest})", [()]),
        )

    @property
    def _connection(self) -> sqlite3.Connection | None:
        """Connection of this process; a forked process opens its own."""
        if os.getpid() not in self._connections:
            self._connections[os.getpid()] = self._open()
        return self._connections[os.getpid()]

    def _open(self) -> sqlite3.Connection | None:
        if self._path is None:
            return None
        for _ in range(2):
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(self._path, timeout=20)
                connection.executescript(_TABLES)
            except sqlite3.OperationalError:  # locked, read-only or full
                return None
            except sqlite3.DatabaseError:  # damaged
                with suppress(OSError):
                    self._path.unlink()
            except OSError:
                return None
            else:
                return connection
        return None

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall() if self._connection else []
        except sqlite3.Error:
            return []

    def _write(self, *statements: tuple[str, list[Any]]) -> None:
        """Execute statements in one transaction, and remove the files of other versions of the code."""
        if self._connection is None or self._path is None:
            return
        with suppress(sqlite3.Error, OSError):
            with self._connection:
                for statement, rows in statements:
                    self._connection.executemany(statement, rows)
            for other in self._path.parent.glob(f"{PREFIX}*"):
                if not other.name.startswith(self._path.name):
                    other.unlink()
