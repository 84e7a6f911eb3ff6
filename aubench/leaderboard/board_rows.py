"""All rows of a leaderboard with provenance and citations, for use by other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aubench.leaderboard import build, tables
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.site import rerun_commands


def board_rows(root: Path) -> list[dict[str, Any]]:
    """List the rows of all tables of the leaderboard in a folder.

    Returns:
        Numbers of each row as in ``entries.json``, with the protocol and the columns of :func:`citations`.

    Raises:
        DataError: The folder does not exist.
        RecordError: A record cannot be read, or its numbers are wrong.
    """
    return [
        {"protocol": results.name, **row, **citations(entry)}
        for results in build.load_results(root)
        for table in results.tables
        for entry, row in zip(table.entries, tables.entry_rows(table), strict=True)
    ]


def citations(entry: Entry) -> dict[str, str | int | None]:
    """Return title, paper, BibTeX entry and provenance of a row; None for a baseline, and where a value is unknown."""
    if not entry.runs:
        return dict.fromkeys(("title", "paper", "citation", "source", "method_version", "runs", "commits", "command"))
    method = entry.info.method
    commits = dict.fromkeys(run.info.git.commit for run in entry.runs if run.info.git.commit)
    return {
        "title": method.title,
        "paper": "; ".join(rerun_commands.papers(entry)) or None,
        "citation": rerun_commands.bibtex(entry),
        "source": method.source,
        "method_version": (method.version or 1) if method.source == "builtin" else None,
        "runs": " ".join(run.info.run for run in entry.runs),
        "commits": " ".join(commits) or None,
        "command": rerun_commands.run_command(entry),
    }
