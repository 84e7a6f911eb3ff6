"""Report of the changes of a leaderboard since a base revision, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from aubench.leaderboard import tables
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.protocol_page import results_by_protocol
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.leaderboard.render import EMPTY, Block, escaped, markdown, text_table
from aubench.leaderboard.review import Changes
from aubench.leaderboard.verify import row_key
from aubench.metrics.intervals import mean_interval
from aubench.metrics.resampling import average

_MOST_FINDINGS = 50


class _TableKey(NamedTuple):
    """Identity of a table. Tables of the same identity before and after a change are compared."""

    protocol: str
    selection: str
    is_demo: bool
    version: int
    store: str
    labels: str


def report(changes: Changes, runs: Sequence[StoredRecord], findings: Sequence[Finding]) -> str:
    """Format findings, new and changed records, and their effect on the tables.

    Args:
        changes: Changes since the base revision.
        runs: Records of the leaderboard without findings, sorted by protocol.
        findings: All findings.
    """
    blocks: list[Block] = ["## Leaderboard", _summary(changes, findings)]
    if findings:
        blocks.append(_problems(changes.root, findings))
    before = _methods([run for run in runs if run.folder not in changes.new])
    for key, methods in _methods(runs).items():
        if any(run.folder in changes.new for entry in methods for run in entry.runs):
            blocks += _table_blocks(key, methods, before.get(key, ()), changes)
    return markdown(blocks)


def _summary(changes: Changes, findings: Sequence[Finding]) -> str:
    removed = sum(changes.changed.values())
    counts = {
        "new": len(changes.new),
        "extended": len(changes.extended),
        "changed": len(changes.changed) - len(changes.extended) - removed,
        "removed": removed,
    }
    verdict = f"{len(findings)} problem{'s' * (len(findings) != 1)}:" if findings else "No problems."
    return f"Records: {', '.join(f'{count} {word}' for word, count in counts.items())}. {verdict}"


def _problems(root: Path, findings: Sequence[Finding]) -> str:
    lines = [f"- {escaped(str(finding).replace(f'{root}/', ''))}" for finding in findings[:_MOST_FINDINGS]]
    more = len(findings) - len(lines)
    return "\n".join([*lines, *([f"- and {more} more"] if more > 0 else [])])


def _methods(runs: Sequence[StoredRecord]) -> dict[_TableKey, tuple[Entry, ...]]:
    return {
        _TableKey(results.name, table.selection, table.is_demo, table.version, table.store, labels): table.methods
        for results in results_by_protocol(runs)
        for table in results.tables
        for labels in [table.methods[0].runs[0].labels]
    }


def _table_blocks(
    key: _TableKey, methods: Sequence[Entry], before: Sequence[Entry], changes: Changes
) -> Iterator[Block]:
    names = [tables.display_name(entry, methods) for entry in methods]
    old = {_row(entry): entry for entry in before}
    kind = ", demonstrations" * key.is_demo
    yield f"### {escaped(key.protocol)}, {escaped(key.selection)}{kind}"
    rows = [
        (
            names[i],
            str(len(entry.runs)),
            tables.percent(entry.f1),
            _position(entry, methods),
            _difference(names, methods, i, i - 1),
            _difference(names, methods, i, i + 1),
        )
        for i, entry in enumerate(methods)
        if any(run.folder in changes.new for run in entry.runs)
    ]
    yield text_table(("New or longer row", "Seeds", "F1", "Position", "Next above", "Next below"), "lrrlll", rows)
    moved = [
        f"{escaped(name)} from {old[_row(entry)].position} to {entry.position}"
        for name, entry in zip(names, methods, strict=True)
        if _row(entry) in old and old[_row(entry)].position != entry.position
    ]
    yield f"Positions that change: {'; '.join(moved)}." if moved else "No other row changes its position."


def _row(entry: Entry) -> tuple[str, str]:
    return row_key(entry.runs[0]), entry.info.selection


def _position(entry: Entry, methods: Sequence[Entry]) -> str:
    if entry.position is None:
        return EMPTY
    ranks = f"{entry.rank}" if entry.rank == entry.last_rank else f"{entry.rank} to {entry.last_rank}"
    return f"{entry.position} of {len(methods)}, rank {ranks}"


def _difference(names: Sequence[str], methods: Sequence[Entry], i: int, k: int) -> str:
    """Format the F1 of a row minus that of its neighbour, and whether the interval includes 0."""
    if not 0 <= k < len(methods):
        return EMPTY
    ours, theirs = (average([run.resampled for run in methods[row].runs]) for row in (i, k))
    delta = mean_interval(ours - theirs)
    verdict = "within noise" if delta.low <= 0 <= delta.high else "beyond noise"
    return f"{names[k]}: {100 * delta.estimate:+.1f} ({100 * delta.low:+.1f} to {100 * delta.high:+.1f}), {verdict}"
