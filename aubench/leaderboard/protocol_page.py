"""Blocks of a protocol's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from aubench.core import protocol_versions
from aubench.leaderboard import entries, robustness_tables, tables
from aubench.leaderboard.entries import RankedTable
from aubench.leaderboard.extensions import PageExtension
from aubench.leaderboard.outdated import outdated_note
from aubench.leaderboard.provenance_table import provenance_table
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.render import Block, escaped, template
from aubench.results.record_info import DEMO_PRESETS


@dataclass(frozen=True)
class ProtocolResults:
    """Results on one protocol.

    Attributes:
        name: Name of the protocol.
        dataset: Name of its data set.
        fold_count: Number of its folds.
        runs: Records, including incomplete ones.
        tables: Tables of the complete runs, those of demos last.
    """

    name: str
    dataset: str
    fold_count: int
    runs: tuple[StoredRecord, ...] = ()
    tables: tuple[RankedTable, ...] = ()

    @property
    def ranked(self) -> tuple[RankedTable, ...]:
        """Tables of runs, without those of demos."""
        return tuple(table for table in self.tables if not table.is_demo and not table.is_submitted)

    @property
    def submitted(self) -> tuple[RankedTable, ...]:
        """Tables of submitted predictions."""
        return tuple(table for table in self.tables if table.is_submitted)

    @property
    def demos(self) -> tuple[RankedTable, ...]:
        """Tables of demos."""
        return tuple(table for table in self.tables if table.is_demo)


def results_by_protocol(runs: Sequence[StoredRecord]) -> list[ProtocolResults]:
    """Rank verified records, which are sorted by protocol."""
    return [_results(tuple(group)) for _, group in groupby(runs, key=lambda run: run.info.protocol.name)]


def _results(runs: tuple[StoredRecord, ...]) -> ProtocolResults:
    protocol, dataset = runs[0].info.protocol, runs[0].info.dataset
    return ProtocolResults(protocol.name, dataset.name, protocol.fold_count, runs, tuple(entries.ranked_tables(runs)))


def page_blocks(results: ProtocolResults, extensions: Sequence[PageExtension] = ()) -> list[Block]:
    """Build the page of a protocol without provenance, as shown in a terminal."""
    blocks: list[Block] = [f"# {results.name}", *([] if results.runs else ["No records yet."])]
    blocks += outdated_note(results.runs)
    for table in results.ranked:
        note = [template("protocol")["external"]] if table.is_external else []
        blocks += [f"## {heading(table, results.ranked)}", *note, *_table_blocks(table)]
    for table in results.submitted:
        blocks += [f"## {heading(table, results.submitted)}", template("protocol")["seen"], *_table_blocks(table)]
    if results.demos:
        blocks += demo_blocks()
    for table in results.demos:
        blocks += [f"### {heading(table, results.demos)}", *_table_blocks(table)]
    blocks += _version_blocks(results.name)
    if incomplete := [run for run in results.runs if not run.is_complete]:
        blocks += ["## Incomplete runs, not ranked", tables.incomplete_table(incomplete)]
    for extension in extensions:
        blocks += extension.protocol_blocks(results.dataset, results.fold_count, results.ranked)
    return blocks


def _version_blocks(name: str) -> list[Block]:
    """Build the changelog of a protocol; empty for one that never changed."""
    lines = [f"- Version {change.version}: {change.text}" for change in protocol_versions.changes(name)]
    return ["## Versions of the protocol", template("protocol")["versions"], "\n".join(lines)] if lines else []


def demo_blocks() -> list[Block]:
    """Build the heading and the text above tables of demos."""
    presets = ", ".join(f"`{name}`" for name in sorted(DEMO_PRESETS))
    return [*template("protocol")["demo"].replace("$presets", presets).split("\n\n")]


def provenance_blocks(results: ProtocolResults) -> list[Block]:
    """Build the last section of the page of a protocol."""
    methods = [entry for table in results.tables for entry in table.methods]
    return ["## Provenance", provenance_table(methods)] if methods else []


def _table_blocks(table: RankedTable) -> list[Block]:
    blocks: list[Block] = [f"Data: {escaped(table.dataset)}."]
    if table.selection == "oracle_test":
        blocks.append(template("protocol")["leak"])
    blocks += [tables.score_table(table), "F1 per AU:", tables.au_table(table)]
    if robustness := robustness_tables.brief_table(table.methods):
        blocks += [template("protocol")["robustness"], robustness]
    return blocks


def heading(table: RankedTable, all_tables: Sequence[RankedTable]) -> str:
    """Format the selection rule and whatever else distinguishes the table from the others."""
    kind = table.selection, table.is_external
    changes = [change for entry in table.methods[:1] for change in protocol_versions.changes(entry.info.protocol.name)]
    peers = [other for other in all_tables if (other.selection, other.is_external) == kind]
    parts = [template("protocol")[table.selection]]
    parts += ["methods from outside this repository"] if table.is_external else []
    newest = max(change.version for change in changes) if changes else max(other.version for other in peers)
    if changes or len({other.version for other in peers}) > 1:
        parts.append(f"protocol version {table.version}" + " (earlier)" * (table.version < newest))
    parts += [f"store {table.store[:8]}"] if len({other.store for other in peers}) > 1 else []
    same_store = [other for other in peers if (other.version, other.store) == (table.version, table.store)]
    parts += [f"test labels {same_store.index(table) + 1}"] if len(same_store) > 1 else []
    return ", ".join(parts)


def is_earlier(table: RankedTable) -> bool:
    """Return whether the protocol of a table has a later version."""
    changes = protocol_versions.changes(table.methods[0].info.protocol.name)
    return any(change.version > table.version for change in changes)


def figure_notes(table: RankedTable) -> list[str]:
    """Return the parts of a figure's title that say what is unusual in its table, and whether numbers are outdated."""
    title = heading(table, [table])
    notes = [] if title == template("protocol")["inner_val"] else [title]
    is_outdated = outdated_note(run for entry in table.methods for run in entry.runs)
    return [*notes, *(["some numbers are outdated"] if is_outdated else [])]
