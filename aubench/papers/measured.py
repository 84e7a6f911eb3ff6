"""Comparison of measured with reported numbers on the page of a protocol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aubench.core.method_catalogue import builtin_facts
from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.protocol_page import is_earlier
from aubench.leaderboard.render import EMPTY, Block, template, text_table
from aubench.leaderboard.tables import modality_code, recipe_label
from aubench.papers.reported import AUS, ReportedRow, ReportedTable
from aubench.papers.reported_page import PAGE, TEMPLATES, Footnotes, footnotes, number, our_method
from aubench.results.counts import CLEAN

_HEADERS = ("Row", "Modalities", "Here", "Measured", "Measured as", "Reported", "Deviation", "Source", "Notes")


@dataclass(frozen=True)
class Measured:
    """Entry of a ranked table."""

    entry: Entry
    table: RankedTable

    @property
    def label(self) -> str:
        """Recipe, selection rule, number of seeds, and the version of the protocol if it has a later one."""
        recipe = recipe_label(self.entry, self.table.methods)
        version = f"; protocol version {self.table.version} (earlier)" if is_earlier(self.table) else ""
        return f"{recipe}; {self.table.selection}; seeds: {len(self.entry.runs)}{version}"

    def f1(self, condition: str) -> float | None:
        """Return F1 in %, mean over seeds; None if a run has no scores under the condition."""
        if condition == CLEAN:
            return 100 * self.entry.f1
        return 100 * self.entry.condition_f1(condition) if condition in self.entry.conditions else None


def compare_with_reported(
    dataset: str, fold_count: int, ranked_tables: Sequence[RankedTable], reported: Sequence[ReportedTable]
) -> list[Block]:
    """Return the section of a protocol's page that compares it with papers.

    Args:
        dataset: Data set of the protocol.
        fold_count: Number of its folds.
        ranked_tables: Measured results.
        reported: Tables of papers.
    """
    heading = "## Measured and reported numbers"
    rows = [row for table in reported for row in table.rows if _is_comparable(row, dataset)]
    if dataset == "synth":
        return [heading, "No paper reports on synth."]
    if not rows:
        return [heading, f"No reported table here is about {dataset}."]
    measured = [Measured(entry, table) for table in ranked_tables for entry in table.methods]
    fold_counts = sorted({row.fold_count for row in rows})
    if fold_count not in fold_counts:
        counts = " or ".join(map(str, fold_counts))
        return [heading, f"Papers report on {counts} folds and this protocol has {fold_count}: not comparable."]
    rows = [row for row in rows if row.fold_count == fold_count]
    rows.sort(key=lambda row: (not row.method_here, row.method_here))
    matches: dict[int, list[Measured | None]] = defaultdict(list)
    for result in measured:
        for row in nearest(result, rows):
            matches[id(row)].append(result)
    notes = Footnotes()
    lines = [_line(row, result, notes) for row in rows for result in matches[id(row)] or [None]]
    link = f"All reported numbers, per AU and with accuracy: [{PAGE}]({PAGE})."
    return [
        heading,
        template("reported", TEMPLATES)["comparison"],
        text_table(_HEADERS, "lllrlrrll", lines),
        notes.block(),
        link,
    ]


def nearest(measured: Measured, rows: Sequence[ReportedRow]) -> list[ReportedRow]:
    """Return the reported rows of the same method, modalities and AUs that share the most recipe settings.

    A row that does not name a setting is of the paper's recipe there. So a run that switches on or off what other rows
    of the method name, or has another option of it, is beside those rows alone.
    """
    info = measured.entry.info
    of_method = [row for row in rows if row.method_here == info.method.name]
    facts = builtin_facts().get(info.method.name)
    paper = facts.presets["paper"].recipe if facts else {}
    usual = {key: paper[key] for row in of_method for key in row.settings if key in paper}
    candidates = [
        row
        for row in of_method
        if row.needed == info.method.modalities
        and set(AUS[row.dataset]) == set(measured.table.aus)
        and all(key in info.recipe and info.recipe[key] == value for key, value in row.settings.items())
        and all(_is_like(info.recipe.get(key), value) for key, value in usual.items() if key not in row.settings)
    ]
    most = max((len(row.settings) for row in candidates), default=0)
    return [row for row in candidates if len(row.settings) == most]


def _is_like(value: Any, usual: Any) -> bool:
    """Return whether a value is the same option as the usual one: equal, or as a number equal to 0 or not."""
    are_numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (value, usual))
    return bool(value) == bool(usual) if are_numbers else value == usual


def _is_comparable(row: ReportedRow, dataset: str) -> bool:
    """Return whether the row is a mean F1, or has no number, for training and testing on the data set."""
    is_mean = row.mean is not None or not row.printed
    return is_mean and row.metric == "f1" and row.dataset == row.trained_on == dataset


def _line(row: ReportedRow, measured: Measured | None, notes: Footnotes) -> tuple[str, ...]:
    f1 = None if measured is None else measured.f1(row.condition)
    label = ", ".join(filter(None, [row.method, row.variant, "" if row.condition == CLEAN else row.condition]))
    deviation = EMPTY if f1 is None or row.mean is None else f"{f1 - row.mean:+z.1f}"
    return (
        *(label, modality_code(row.modalities) or EMPTY, our_method(row)),
        *(EMPTY if f1 is None else f"{f1:.1f}", EMPTY if measured is None or f1 is None else measured.label),
        *(number(row, row.mean), deviation, row.table, notes.refs(footnotes(row))),
    )
