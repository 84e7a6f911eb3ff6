"""What was measured here beside what papers report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.render import EMPTY, Block, Cell, Table
from aubench.leaderboard.tables import modality_code, recipe_label
from aubench.metrics import scores
from aubench.papers.reported import AUS, FOLD_COUNT, ReportedRow, ReportedTable
from aubench.papers.reported_page import PAGE, Footnotes, footnotes, number, our_method
from aubench.results.counts import CLEAN

_HEADERS = ("Row", "Modalities", "Here", "Measured", "Measured as", "Reported", "Deviation", "Source", "Notes")
_ALIGN = ("left", "left", "left", "right", "left", "right", "right", "left", "left")
_READING = """\
F1 in %, mean over AUs, folds and seeds. A measured row stands beside a reported one if it is of the same method on the
same modalities, with the settings that the reported row names; of reported rows that differ in settings, beside the
one whose settings it meets most closely. **Deviation** is measured minus reported, in points."""


@dataclass(frozen=True)
class Measured:
    """A measured row, and the section in which it is ranked."""

    row: Entry
    section: RankedTable

    @property
    def described(self) -> str:
        """Preset, selection rule and number of seeds."""
        return f"{recipe_label(self.row, self.section.methods)}; {self.section.selection}; seeds: {len(self.row.runs)}"

    def f1(self, condition: str) -> float | None:
        """F1 in %, mean over seeds; None if it was not measured under that condition."""
        if condition == CLEAN:
            return 100 * self.row.f1
        records = [kept.record for kept in self.row.runs]
        if not all(condition in record.info.conditions for record in records):
            return None
        tallies = [scores.sum_over_subjects(record.counts, condition) for record in records]
        return 100 * scores.mean(scores.macro_mean(scores.f1(tally.cells)) for tally in tallies)


def compare_with_reported(
    dataset: str, fold_count: int, sections: Sequence[RankedTable], tables: Sequence[ReportedTable]
) -> list[Block]:
    """The part of a protocol's page that compares it with papers.

    Args:
        dataset: The protocol's data set.
        fold_count: How many folds it has.
        sections: What was measured.
        tables: What papers report.
    """
    heading = "## Measured beside reported"
    rows = [row for table in tables for row in table.rows if _about(row, dataset)]
    if dataset == "synth":
        return [heading, "No paper reports on synth."]
    if not rows:
        return [heading, f"No reported table here is about {dataset}."]
    measured = [Measured(row, section) for section in sections for row in section.methods]
    if fold_count != FOLD_COUNT:
        return [heading, f"Papers report on {FOLD_COUNT} folds and this protocol has {fold_count}: not comparable."]
    rows.sort(key=lambda row: (not row.method_here, row.method_here))
    matches: dict[int, list[Measured | None]] = defaultdict(list)
    for one in measured:
        for row in nearest(one, rows):
            matches[id(row)].append(one)
    notes = Footnotes()
    lines = [_line(row, one, notes) for row in rows for one in matches[id(row)] or [None]]
    more = f"All reported numbers, per AU and with accuracy, stand in [{PAGE}]({PAGE})."
    return [heading, _READING, Table(_HEADERS, _ALIGN, tuple(lines)), notes.block(), more]


def nearest(measured: Measured, rows: Sequence[ReportedRow]) -> list[ReportedRow]:
    """The reported rows that a measured one may be compared with: of those whose settings it has, the most precise."""
    info = measured.row.info
    fitting = [
        row
        for row in rows
        if row.method_here == info.method.name
        and row.needed == info.method.modalities
        and set(AUS[row.dataset]) == set(measured.section.aus)
        and all(key in info.recipe and info.recipe[key] == value for key, value in row.settings.items())
    ]
    most = max((len(row.settings) for row in fitting), default=0)
    return [row for row in fitting if len(row.settings) == most]


def _about(row: ReportedRow, dataset: str) -> bool:
    """Whether it is a mean F1 (or a lost one) of training and testing on the data set."""
    whole = row.mean is not None or not row.printed
    return whole and row.metric == "f1" and row.dataset == row.trained_on == dataset


def _line(row: ReportedRow, one: Measured | None, notes: Footnotes) -> tuple[Cell, ...]:
    f1 = None if one is None else one.f1(row.condition)
    label = ", ".join(filter(None, [row.method, row.variant, "" if row.condition == CLEAN else row.condition]))
    deviation = EMPTY if f1 is None or row.mean is None else f"{f1 - row.mean:+.1f}"
    texts = (
        *(label, modality_code(row.modalities) or EMPTY, our_method(row)),
        *(EMPTY if f1 is None else f"{f1:.1f}", EMPTY if one is None or f1 is None else one.described),
        *(number(row, row.mean), deviation, row.table, notes.footnote_refs(footnotes(row))),
    )
    return tuple(map(Cell, texts))
