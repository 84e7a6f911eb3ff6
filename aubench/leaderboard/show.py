"""Results of a leaderboard, as stored or computed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sized
from importlib import metadata
from pathlib import Path

from aubench.core.errors import DataError, UsageError, suggest
from aubench.core.plugins import PLUGINS_VARIABLE
from aubench.leaderboard import entries_file
from aubench.leaderboard.command_hints import add_hint
from aubench.leaderboard.entries_file import ProtocolEntries
from aubench.leaderboard.extensions import Extensions


def load_entries(root: Path, protocol: str | None = None, extensions: Extensions = ()) -> dict[str, ProtocolEntries]:
    """Load the results by protocol: from ``entries.json`` if it is current, otherwise computed from the records.

    Plug-in metrics, which ``entries.json`` may lack, also cause the computation.

    Args:
        root: Leaderboard folder.
        protocol: Protocol to load, with or without records; by default all with records.
        extensions: Extensions that add blocks.

    Raises:
        DataError: The folder does not exist.
        UsageError: There is no such protocol.
        RecordError: A record cannot be read, or its numbers are wrong.
    """
    has_plugin_metrics = os.environ.get(PLUGINS_VARIABLE) or metadata.entry_points(group="aubench.metrics")
    stored = None if has_plugin_metrics else entries_file.read_current(root)
    if stored is None:
        from aubench.leaderboard import build

        stored = build.compute_entries(root, extensions)
    if protocol is None:
        return stored
    return {protocol: stored[protocol] if protocol in stored else _without_records(root, protocol, stored, extensions)}


def require_records(contents: Sized, root: Path) -> None:
    """Check that a leaderboard has records.

    Args:
        contents: Records, or what was made of them.
        root: Folder of the leaderboard.

    Raises:
        DataError: It has none.
    """
    if not contents:
        raise DataError("no record here", where=root, hint=add_hint(root))


def _without_records(root: Path, name: str, known: Iterable[str], extensions: Extensions) -> ProtocolEntries:
    from aubench.core import registry
    from aubench.leaderboard.protocol_page import ProtocolResults, page_blocks

    installed = registry.builtin_protocols()
    if name not in installed:
        raise UsageError(f"no record of protocol '{name}'", where=root, hint=suggest(name, {*installed, *known}))
    protocol = registry.find_protocol(name)
    results = ProtocolResults(name, protocol.data_name, protocol.fold_count)
    return ProtocolEntries(page_blocks(results, [read(root) for read in extensions]), [])
