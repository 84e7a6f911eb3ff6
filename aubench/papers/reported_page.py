"""The page of what papers report: each of their tables, with what must be known about its rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from aubench.leaderboard.render import EMPTY, Block, Cell, Table, escaped
from aubench.leaderboard.tables import modality_code
from aubench.papers.reported import FOLDER, ReportedRow, ReportedTable

PAGE = "reported.md"
FOLDS = {
    "ambiguous": "Folds: three by subject; the works that the paper follows for them do not agree on one list.",
    "unlisted": "Folds: three by subject; no list of them is cited.",
    "unknown": "Reported on unknown folds: three by subject, unpublished, and none are in common use here.",
}
"""What is known of a row's folds."""

_METRICS = {"f1": "F1 in %", "acc": "accuracy in %", "gflops": "GFLOPs per frame"}
_INTRODUCTION = """\
These numbers stand in papers. None of them was measured here; what was measured is set beside them on the pages of
the protocols. Empty cells were not printed, or could not be read.

- **Here**: the method of this project that the row is about, with the settings that make it this row.
- **By**: whose implementation it is, where the paper says so.
- **Suspect** rows hold numbers that contradict themselves or others; the note says why. Bold is the best number of a
  column among the rows on the same data set under the same condition, and never one of a suspect row.
- AUs are numbered as they must be, also where a printed header is wrong; the note says so."""


@dataclass
class Footnotes:
    """Notes below a table; equal ones share a number."""

    numbers: dict[str, int] = field(default_factory=dict)

    def footnote_refs(self, texts: Iterable[str]) -> str:
        """The numbers of some notes, which are added where they are new."""
        return ", ".join(map(str, sorted(self.numbers.setdefault(text, len(self.numbers) + 1) for text in texts)))

    def block(self) -> Block:
        """All of them as a list."""
        return "\n".join(f"{number}. {escaped(text)}" for text, number in self.numbers.items())


def page(tables: Sequence[ReportedTable]) -> list[Block]:
    """All tables, by paper."""
    blocks: list[Block] = ["# Reported numbers", _INTRODUCTION]
    for table in tables:
        notes = Footnotes()
        blocks += [f"## {table.rows[0].source}", _about(table), _table(table, notes), notes.block()]
    return blocks


def footnotes(row: ReportedRow) -> list[str]:
    """What must be known about a row."""
    suspect = [f"Suspect: {text}." for text in row.suspect.split("; ") if text]
    return [*suspect, FOLDS[row.folds], *(_sentence(text) for text in row.remark.split("; ") if text)]


def our_method(row: ReportedRow) -> str:
    """The method here and its settings."""
    settings = [
        f"{key}={value if isinstance(value, str) else repr(value).lower()}" for key, value in row.settings.items()
    ]
    return ", ".join([row.method_here, *settings]) or EMPTY


def number(row: ReportedRow, value: float | None) -> str:
    """A number with the decimals that were printed."""
    return EMPTY if value is None else f"{value:.{2 if row.metric == 'gflops' else 1}f}"


def _about(table: ReportedTable) -> str:
    datasets = " and ".join(dict.fromkeys(row.dataset for row in table.rows))
    metrics = " and ".join(dict.fromkeys(_METRICS[row.metric] for row in table.rows))
    return f"{metrics[0].upper()}{metrics[1:]} on {datasets}. As data: [{table.name}.csv]({FOLDER}/{table.name}.csv)."


@dataclass(frozen=True)
class _Column:
    header: str
    show: Callable[[ReportedRow], str]
    needed: Callable[[ReportedRow], bool] = lambda row: True


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
    several = len({row.dataset for row in table.rows}) > 1
    columns = [column for column in _COLUMNS if any(column.needed(row) for row in table.rows)]
    columns += [_Column("Tested on", lambda row: row.dataset)] if several else []
    keys: list[int | None] = [*table.aus, None]
    best = {key: _best(table.rows, key) for key in keys}

    def cells(row: ReportedRow) -> tuple[Cell, ...]:
        numbers = [Cell(number(row, _value(row, key)), id(row) in best[key]) for key in keys]
        return (*(Cell(column.show(row)) for column in columns), *numbers, Cell(notes.footnote_refs(footnotes(row))))

    headers = (*(column.header for column in columns), *(f"AU{au}" for au in table.aus), "Mean", "Notes")
    align = (*("left" for _ in columns), *("right" for _ in keys), "left")
    return Table(headers, align, tuple(cells(row) for row in table.rows))


def _value(row: ReportedRow, au: int | None) -> float | None:
    return row.mean if au is None else row.aus[au]


def _best(rows: Sequence[ReportedRow], au: int | None) -> set[int]:
    """The rows (by ``id``) that are best in a column among those that may be compared; suspect rows never are."""
    comparable: dict[tuple[str, ...], list[ReportedRow]] = defaultdict(list)
    for row in rows:
        if not row.suspect and row.metric != "gflops" and _value(row, au) is not None:
            comparable[row.dataset, row.trained_on, row.condition, row.metric].append(row)
    groups = [group for group in comparable.values() if len(group) > 1]
    return {id(row) for group in groups for row in group if _value(row, au) == max(_value(r, au) or 0 for r in group)}


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
