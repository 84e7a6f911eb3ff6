"""Note about records of earlier versions of built-in methods."""

from __future__ import annotations

from collections.abc import Iterable

from aubench.core import method_versions
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.render import Block, template


def outdated_note(runs: Iterable[StoredRecord]) -> list[Block]:
    """Return a note that lists the changes of methods since the versions of some records; none if all are current."""
    versions = {
        (i.method.name, i.method.version or 1) for i in (run.info for run in runs) if i.method.source == "builtin"
    }
    missing = {(name, text) for name, version in versions for text in method_versions.changes_since(name, version)}
    lines = []
    for text, methods in method_versions.changes():
        if names := [f"`{name}`" for name in sorted(methods) if (name, text) in missing]:
            lines.append(f"- {text} ({', '.join(names)})")
    return [template("protocol")["outdated"], "\n".join(lines)] if lines else []
