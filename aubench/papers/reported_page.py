"""Page of the numbers that papers report: each table with footnotes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aubench.leaderboard.render import EMPTY, Block, Cell, Table, escaped, template
from aubench.leaderboard.tables import modality_code
from aubench.papers.reported import COSTS, FOLDER, ReportedRow, ReportedTable

PAGE = "reported.md"
TEMPLATES = Path(__file__).parent
FOLDS = {
    "ambiguous": "Folds: three by subject; the works that the paper follows for them do not agree on one list.",
    "unlisted": "Folds: three by subject; no list of them is cited.",
    "unknown": "Reported on unknown folds: three by subject, unpublished, and none are in common use here.",
}
"""Footnotes on folds."""

_METRICS = {"f1": "F1 in %", "acc": "accuracy in %", "gflops": "GFLOPs per frame", "gmacs": "GMACs per frame"}


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
        blocks += [f"## {table.rows[0].source}", _about(table), _table(table, notes), notes.block()]
    return blocks


def footnotes(row: ReportedRow) -> list[str]:
    """Return the footnotes of a row."""
    suspect = [f"Suspect: {text}." for text in row.suspect.split("; ") if text]
    return [*suspect, FOLDS[row.folds], *(_sentence(text) for text in row.remark.split("; ") if text)]


def our_method(row: ReportedRow) -> str:
    """Return the implemented method and its settings."""
    settings = [
        f"{key}={value if isinstance(value, str) else repr(value).lower()}" for key, value in row.settings.items()
    ]
    return ", ".join([row.method_here, *settings]) or EMPTY


def number(row: ReportedRow, value: float | None) -> str:
    """Return a number with as many decimals as papers print."""
    return EMPTY if value is None else f"{value:.{2 if row.metric in COSTS else 1}f}"


def _about(table: ReportedTable) -> str:
    datasets = " and ".join(dict.fromkeys(row.dataset for row in table.rows))
    metrics = " and ".join(dict.fromkeys(_METRICS[row.metric] for row in table.rows))
    return f"{metrics[0].upper()}{metrics[1:]} on {datasets}. As data: [{table.name}.csv]({FOLDER}/{table.name}.csv)."


@dataclass(frozen=True)
class _Column:
    header: str
    show: Callable[[ReportedRow], str]
    is_needed: Callable[[ReportedRow], bool] = lambda row: True


_COLUMNS = (
    _Column("Method", lambda row: row.method),
    _Column("Variant", lambda row: row.variant, lambda row: bool(row.variant)),
    _Column("Modalities", lambda row: modality_code(row.modalities) or EMPTY),
    _Column("Condition", lambda row: row.condition, lambda row: row.condition != "clean"),
    _Column("Trained on", lambda row: row.trained_on, lambda row: row.trained_on != row.dataset),
    _Column("Here", our_method),
    _Column("By", lambda row: row.implemented_by or EMPTY),
)


def _table(table: ReportedTable, notes: Footnotes) -> Table:
    columns = [column for column in _COLUMNS if any(map(column.is_needed, table.rows))]
    columns += [_Column("Tested on", lambda row: row.dataset)] if len({row.dataset for row in table.rows}) > 1 else []
    keys: list[int | None] = [*table.aus, None]
    best = {key: _best(table.rows, key) for key in keys}

    def cells(row: ReportedRow) -> tuple[Cell, ...]:
        numbers = [Cell(number(row, _value(row, key)), id(row) in best[key]) for key in keys]
        return (*(Cell(column.show(row)) for column in columns), *numbers, Cell(notes.refs(footnotes(row))))

    headers = (*(column.header for column in columns), *(f"AU{au}" for au in table.aus), "Mean", "Notes")
    align = (*("left" for _ in columns), *("right" for _ in keys), "left")
    return Table(headers, align, tuple(cells(row) for row in table.rows))


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


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
