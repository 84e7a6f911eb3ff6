"""Page of the numbers that papers report: each table with footnotes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aubench.leaderboard.render import EMPTY, Block, Cell, Table, escaped, template
from aubench.leaderboard.tables import modality_code
from aubench.papers.reported import COSTS, FOLDER, ReportedRow, ReportedTable
from aubench.results.counts import CLEAN

PAGE = "reported.md"
TEMPLATES = Path(__file__).parent
FOLDS = {
    "ambiguous": "Folds: three by subject; the works that the paper follows for them do not agree on one list.",
    "listed": "Folds: four by subject, listed in the authors' code (protocol bp4dplus_fmae4).",
    "unlisted": "Folds: three by subject; no list of them is cited.",
    "unknown": "Reported on unknown folds: three by subject, unpublished, and none are in common use here.",
}
"""Footnotes on folds."""

_UNITS = {"f1": "F1 in %", "acc": "accuracy in %", "gflops": "GFLOPs per frame", "gmacs": "GMACs per frame"}


@dataclass
class Footnotes:
    """Footnotes below a table; equal ones share a number."""

    numbers: dict[str, int] = field(default_factory=dict)

    def refs(self, texts: Iterable[str]) -> str:
        """Return the numbers of footnotes; add new ones."""
        return ", ".join(map(str, sorted(self.numbers.setdefault(text, len(self.numbers) + 1) for text in texts)))

    def block(self) -> Block:
        """Return the list of footnotes."""
        return "\n".join(f"{number}. {escaped(text)}" for text, number in self.numbers.items())


def page(tables: Sequence[ReportedTable]) -> list[Block]:
    """Return the blocks of all tables, by paper."""
    blocks: list[Block] = ["# Reported numbers", template("reported", TEMPLATES)["introduction"]]
    for table in tables:
        notes = Footnotes()
        blocks += [f"## {escaped(table.rows[0].source)}", _about(table), _table(table, notes), notes.block()]
    return blocks


def footnotes(row: ReportedRow) -> list[str]:
    """Return the footnotes of a row."""
    suspect = [f"Suspect: {text}." for text in row.suspect.split("; ") if text]
    remarks = [f"{text[0].upper()}{text[1:]}." for text in row.remark.split("; ") if text]
    return [*suspect, FOLDS[row.folds], *remarks]


def our_method(row: ReportedRow) -> str:
    """Return the implemented method and its settings."""
    settings = [
        f"{key}={value if isinstance(value, str) else repr(value).lower()}" for key, value in row.settings.items()
    ]
    return ", ".join([row.method_here, *settings]) or EMPTY


def number(row: ReportedRow, value: float | None) -> str:
    """Return a number with as many decimals as papers print."""
    return EMPTY if value is None else f"{value:.{2 if row.metric in COSTS else 1}f}"


def content(table: ReportedTable, units: Mapping[str, str]) -> str:
    """Return metrics, with the given words for each, and data sets of a table."""
    metrics, datasets = ([getattr(row, name) for row in table.rows] for name in ("metric", "dataset"))
    return f"{' and '.join(dict.fromkeys(units[m] for m in metrics))} on {' and '.join(dict.fromkeys(datasets))}"


def _about(table: ReportedTable) -> str:
    text = content(table, _UNITS)
    return f"{text[0].upper()}{text[1:]}. As data: [{table.name}.csv]({FOLDER}/{table.name}.csv)."


def labels(rows: Sequence[ReportedRow]) -> dict[str, list[str]]:
    """Return the columns that tell the rows of a table apart, by header, without those that all rows share."""
    columns: dict[str, list[str]] = {
        "Variant": [row.variant for row in rows],
        "Modalities": [modality_code(row.modalities) or EMPTY for row in rows],
        "Condition": [row.condition for row in rows],
        "Trained on": [row.trained_on for row in rows],
        "Tested on": [row.dataset for row in rows],
    }
    is_redundant = {
        "Variant": not any(columns["Variant"]),
        "Condition": set(columns["Condition"]) == {CLEAN},
        "Trained on": columns["Trained on"] == columns["Tested on"],
        "Tested on": len(set(columns["Tested on"])) == 1,
    }
    return {header: cells for header, cells in columns.items() if not is_redundant.get(header)}


def _table(table: ReportedTable, notes: Footnotes) -> Table:
    rows, keys = table.rows, [*table.aus, None]
    columns = {"Method": [row.method for row in rows], **labels(rows), "Here": [our_method(row) for row in rows]}
    columns["By"] = [row.implemented_by or EMPTY for row in rows]
    if "Tested on" in columns:
        columns["Tested on"] = columns.pop("Tested on")
    best = {key: _best(rows, key) for key in keys}
    lines = []
    for row, texts in zip(rows, zip(*columns.values(), strict=True), strict=True):
        numbers = [Cell(number(row, _value(row, key)), id(row) in best[key]) for key in keys]
        lines.append((*map(Cell, texts), *numbers, Cell(notes.refs(footnotes(row)))))
    headers = (*columns, *(f"AU{au}" for au in table.aus), "Mean", "Notes")
    align = (*("left" for _ in columns), *("right" for _ in keys), "left")
    return Table(headers, align, tuple(lines))


def _value(row: ReportedRow, au: int | None) -> float | None:
    return row.mean if au is None else row.aus[au]


def _best(rows: Sequence[ReportedRow], au: int | None) -> set[int]:
    """Return the ids of the rows with the best number of a column among comparable rows without suspect ones."""
    comparable: dict[tuple[str, ...], list[ReportedRow]] = defaultdict(list)
    for row in rows:
        if not row.suspect and row.metric not in COSTS and _value(row, au) is not None:
            comparable[row.dataset, row.trained_on, row.condition, row.metric].append(row)
    groups = [group for group in comparable.values() if len(group) > 1]
    return {id(row) for group in groups for row in group if _value(row, au) == max(_value(r, au) or 0 for r in group)}
