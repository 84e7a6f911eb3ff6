"""Report of the changes of a leaderboard since a base revision, in Markdown."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from aubench.leaderboard import entries, tables
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.record_keys import IndexedRecord
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.leaderboard.render import EMPTY, Block, escaped, markdown, text_table
from aubench.leaderboard.review import Changes
from aubench.leaderboard.verified_records import stored_records
from aubench.leaderboard.verify import row_key
from aubench.metrics import scores
from aubench.metrics.intervals import mean_interval
from aubench.metrics.resampling import average

_MOST_FINDINGS = 50
_MOST_MOVED = 20
_MOST_RANKED = 100
"""Rows up to which the report has ranks, which need a test of each pair."""


class _TableKey(NamedTuple):
    """Identity of a table. Tables of the same identity before and after a change are compared."""

    protocol: str
    selection: str
    is_demo: bool
    is_external: bool
    version: int
    store: str
    labels: str


_Rows = dict[str, list[IndexedRecord]]
"""Records of each row of a table, by the key of the row."""


def report(changes: Changes, runs: Sequence[IndexedRecord], findings: Sequence[Finding]) -> str:
    """Format findings, new and changed records, and their effect on the tables.

    Args:
        changes: Changes since the base revision.
        runs: Records of the leaderboard without findings.
        findings: All findings.
    """
    blocks: list[Block] = ["## Leaderboard", _summary(changes, findings)]
    if findings:
        blocks.append(_problems(changes.root, findings))
    for key, rows in sorted(_rows_by_table(runs).items()):
        if any(run.folder in changes.new for group in rows.values() for run in group):
            blocks += _table_blocks(key, rows, changes)
    return markdown(blocks)


def _rows_by_table(runs: Sequence[IndexedRecord]) -> dict[_TableKey, _Rows]:
    by_table = defaultdict[_TableKey, _Rows](lambda: defaultdict(list))
    for run in runs:
        keys = run.keys
        if keys.is_complete:
            kind = keys.protocol, keys.selection, keys.is_demo, keys.is_external, keys.protocol_version
            by_table[_TableKey(*kind, keys.dataset[2], keys.labels)][keys.row].append(run)
    return by_table


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


def _table_blocks(key: _TableKey, rows: _Rows, changes: Changes) -> Iterator[Block]:
    """Build the heading, the new rows with their neighbours, and the positions that change."""
    ordered, positions = _positions(rows)
    old = {row: [run for run in group if run.folder not in changes.new] for row, group in rows.items()}
    _, before = _positions({row: group for row, group in old.items() if group})
    new = [row for row in ordered if any(run.folder in changes.new for run in rows[row])]
    moved = [row for row in ordered if row in before and before[row] != positions[row] and not key.is_demo]
    near = {row: [k for i in (-1, 1) if 0 <= (k := ordered.index(row) + i) < len(ordered)] for row in new}
    shown = {*new, *moved[:_MOST_MOVED], *(ordered[k] for indices in near.values() for k in indices)}
    methods = _entries(rows, shown)
    names = dict(zip(methods, tables.unique_names(list(methods.values())), strict=True))
    yield f"### {escaped(key.protocol)}, {escaped(key.selection)}{', demonstrations' * key.is_demo}"
    lines = []
    for row in new:
        entry, index = methods[row], ordered.index(row)
        neighbours = [
            _difference(names, methods, row, ordered[k]) if k in near[row] else EMPTY for k in (index - 1, index + 1)
        ]
        position = EMPTY if key.is_demo else f"{positions[row]} of {len(ordered)}{_ranks(entry)}"
        lines.append((names[row], str(len(rows[row])), tables.percent(entry.f1), position, *neighbours))
    yield text_table(("New or longer row", "Seeds", "F1", "Position", "Next above", "Next below"), "lrrlll", lines)
    changed = [f"{escaped(names[row])} from {before[row]} to {positions[row]}" for row in moved[:_MOST_MOVED]]
    more = f"; and {len(moved) - len(changed):,} more" if len(moved) > len(changed) else ""
    yield f"Positions that change: {'; '.join(changed)}{more}." if changed else "No other row changes its position."


def _positions(rows: _Rows) -> tuple[list[str], dict[str, int]]:
    """Return the rows by F1, and the position of each."""
    f1 = {row: scores.mean(run.keys.f1 for run in group) for row, group in rows.items()}
    ordered = sorted(rows, key=lambda row: (-f1[row], rows[row][0].keys.method, row))
    ascending = [-f1[row] for row in ordered]
    return ordered, {row: 1 + bisect_left(ascending, -f1[row]) for row in ordered}


def _entries(rows: _Rows, shown: set[str]) -> dict[str, Entry]:
    """Read the rows shown and those with their names; all rows, with ranks, of a table that is not long."""
    names = {run.keys.method for row in shown for run in rows[row]}
    is_ranked = len(rows) <= _MOST_RANKED
    chosen = [run for group in rows.values() for run in group if is_ranked or run.keys.method in names]
    stored = stored_records(chosen)
    if is_ranked:
        return {row_key(entry.runs[0]): entry for table in entries.ranked_tables(stored) for entry in table.methods}
    groups = defaultdict[str, list[StoredRecord]](list)
    for run in sorted(stored, key=lambda run: run.info.seed):
        groups[row_key(run)].append(run)
    return {row: Entry.from_runs(group) for row, group in groups.items()}


def _ranks(entry: Entry) -> str:
    if entry.rank is None:
        return ""
    return f", rank {entry.rank}" + (f" to {entry.last_rank}" if entry.rank != entry.last_rank else "")


def _difference(names: dict[str, str], methods: dict[str, Entry], row: str, other: str) -> str:
    """Format the F1 of a row minus that of another, and whether the interval includes 0."""
    ours, theirs = (average([run.resampled for run in methods[key].runs]) for key in (row, other))
    delta = mean_interval(ours - theirs)
    verdict = "within noise" if delta.low <= 0 <= delta.high else "beyond noise"
    return f"{names[other]}: {tables.difference(delta)}, {verdict}"
