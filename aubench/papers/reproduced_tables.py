"""A paper's table made again: its rows as printed, and below each what was measured here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aubench.core.errors import RecordError
from aubench.leaderboard.render import Block, Cell, Table, latex, markdown
from aubench.leaderboard.robustness_tables import as_csv
from aubench.leaderboard.tables import EMPTY, modality_code
from aubench.metrics import scores
from aubench.metrics.intervals import ConfidenceInterval, confidence_intervals, f1_interval
from aubench.metrics.resampling import subject_contributions
from aubench.papers.reported import ReportedRow, ReportedTable
from aubench.papers.reported_page import Footnotes, footnotes, number, our_method
from aubench.results.record import Record
from aubench.results.schema import Cost

_METRICS = {"f1": "F1", "acc": "accuracy", "gflops": "GFLOPs"}
_READINGS = {
    "f1": "F1 in %, mean over folds and seeds. **Interval**: 95 % over test subjects.",
    "acc": "Accuracy in %, mean over folds and seeds. **Interval**: standard deviation over folds and seeds.",
    "gflops": "GFLOPs per frame. Counted here at the paper's full size, twice the multiply-accumulates; takes no run.",
}
_DIGITS = 8
"""Of a run's id on a page; its record's folder begins with them."""
_DEVIATION = "Deviation"
_DEVIATION_READING = (
    "**Deviation**: what was measured here minus what the paper prints, in the unit of the table; only where both "
    "are of the same data set."
)
_SYNTH = "synth is drawn and only stands in for the paper's data: nothing here can be held against the paper's numbers."


@dataclass(frozen=True)
class MeasuredResult:
    """What there is here for a reported row.

    Attributes:
        records: Runs that differ in their seed alone.
        cost: What it costs; for rows that tell operations.
        reason: Why there is neither.
    """

    records: tuple[Record, ...] = ()
    cost: Cost | None = None
    reason: str = ""


@dataclass(frozen=True)
class FigurePoint:
    """A row of a figure's numbers.

    Attributes:
        label: Whose.
        condition: What was done to the test inputs.
        records: Runs that differ in their seed alone.
    """

    label: str
    condition: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class _Numbers:
    """A row's numbers in the table's unit; ``mean`` is None where the row's AUs are not all there."""

    by_au: dict[int, float] = field(default_factory=dict)
    mean: float | None = None
    interval: str = EMPTY


def name_of(table: ReportedTable) -> str:
    """What a table is called in commands: ``amf-table-1``, ``au-vmae-appendix-3``."""
    return table.name.replace("appendix_table", "appendix").replace("_", "-")


def title_of(table: ReportedTable) -> str:
    """What a table shows, in a line."""
    metrics_shown = " and ".join(dict.fromkeys(_METRICS[row.metric] for row in table.rows))
    datasets = " and ".join(dict.fromkeys(row.dataset for row in table.rows))
    return f"{table.rows[0].source}: {metrics_shown} on {datasets}, {len(table.rows)} rows"


def render(table: ReportedTable, ours: Sequence[MeasuredResult], form: str, picture: str = "") -> str:
    """A table of a paper beside what was measured.

    Args:
        table: As reported.
        ours: One for each of its rows, in their order.
        form: ``markdown``, ``latex`` or ``csv``.
        picture: File of the figure beside the page; none where there is none. Shown in Markdown.

    Raises:
        RecordError: The records of a row do not belong together.
    """
    pairs = list(zip(table.rows, ours, strict=True))
    notes = Footnotes()
    if form == "csv":
        return as_csv(_made(table, pairs, " ".join, sources=True))
    made = _made(table, pairs, notes.footnote_refs)
    records = [record for each in ours for record in each.records]
    readings = [_READINGS[metric] for metric in dict.fromkeys(row.metric for row in table.rows)]
    if all(cell.text == EMPTY for cell in made.column(_DEVIATION)):
        made = made.without(_DEVIATION)
    else:
        readings.append(_DEVIATION_READING)
    head = _head(table.rows[0].source, " ".join(readings), records, picture if form == "markdown" else "")
    return _paged([*head, made, notes.block(), *provenance_note(records)], form)


def points(title: str, found: Sequence[FigurePoint], form: str, picture: str = "") -> str:
    """The numbers of a figure.

    Args:
        title: What the figure is.
        found: Its numbers.
        form: As of :func:`written`.
        picture: As of :func:`written`.
    """
    lines = []
    for one in found:
        interval = f1_interval([record.counts for record in one.records], one.condition)
        bounds = (f"{100 * value:.1f}" for value in (interval.estimate, interval.low, interval.high))
        lines.append(tuple(map(Cell, (one.label, one.condition, *bounds))))
    headers = ("Row", "Condition", "F1", "F1 low", "F1 high")
    made = Table(headers, ("left", "left", "right", "right", "right"), tuple(lines))
    if form == "csv":
        return as_csv(made)
    reading = "F1 in %, mean over AUs, folds and seeds; low and high bound the 95 % interval over test subjects."
    records = [record for one in found for record in one.records]
    head = _head(title, reading, records, picture if form == "markdown" else "")
    return _paged([*head, made, *provenance_note(records)], form)


def _head(title: str, reading: str, records: Sequence[Record], picture: str) -> list[Block]:
    """The heading, which says where was measured, how to read what follows, and a picture if there is one."""
    protocols = ", ".join(dict.fromkeys(record.info.protocol.name for record in records))
    shown = f"![{title}]({picture})" if picture else ""
    return [f"# {title}" + (f", measured on {protocols}" if protocols else ""), reading, shown]


def provenance_note(records: Sequence[Record]) -> list[Block]:
    """Where numbers come from, to stand below them; nothing where there is no record."""
    lines = [f"- Measured on {source}." for source in _sources(records, _DIGITS)]
    synth = any(record.info.dataset.name == "synth" for record in records)
    return ["\n".join([*lines, *([f"- {_SYNTH}"] if synth else [])])] if lines else []


def _sources(records: Sequence[Record], digits: int | None = None) -> list[str]:
    """Protocol, preset, selection, store, seeds and runs; a line for runs that differ in none of the first four.

    Args:
        records: The runs.
        digits: How many of the first digits of their ids are told; all when None.
    """
    runs: dict[str, dict[str, list[str]]] = {}
    seeds: dict[str, set[int]] = {}
    for info in (record.info for record in records):
        protocol = f"{info.protocol.name} version {info.protocol.version}, {modality_code(info.protocol.modalities)}"
        store = f"store {info.dataset.name} {info.dataset.digest[:12]}"
        by = f"{protocol}; preset {info.preset}; selection {info.selection}; {store}"
        seeds.setdefault(by, set()).add(info.seed)
        ids = runs.setdefault(by, {}).setdefault(info.method.name, [])
        ids += [info.run[:digits]] if info.run[:digits] not in ids else []
    told = {by: ", ".join(f"{name} {' '.join(ids)}" for name, ids in methods.items()) for by, methods in runs.items()}
    return [f"{by}; seeds {_listed(seeds[by])}; runs {listed}" for by, listed in told.items()]


def _listed(seeds: set[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))


def _paged(blocks: Sequence[Block], form: str) -> str:
    kept = [block for block in blocks if block]
    return latex(kept) if form == "latex" else markdown(kept)


@dataclass(frozen=True)
class _Column:
    header: str
    show: Callable[[ReportedRow], str]
    needed: Callable[[ReportedRow], bool] = lambda row: True


_COLUMNS = (
    _Column("Variant", lambda row: row.variant, lambda row: bool(row.variant)),
    _Column("Modalities", lambda row: modality_code(row.modalities) or EMPTY),
    _Column("Condition", lambda row: row.condition, lambda row: row.condition != "clean"),
    _Column("Trained on", lambda row: row.trained_on, lambda row: row.trained_on != row.dataset),
)


def _made(
    table: ReportedTable,
    pairs: Sequence[tuple[ReportedRow, MeasuredResult]],
    told: Callable[[Sequence[str]], str],
    *,
    sources: bool = False,
) -> Table:
    """Two lines a row, what the paper prints and what was measured; one line where nothing can be."""
    columns = [column for column in _COLUMNS if any(map(column.needed, table.rows))]
    if len({row.dataset for row in table.rows}) > 1:
        columns.append(_Column("Tested on", lambda row: row.dataset))
    headers = ("Method", *(c.header for c in columns), "Numbers", *(f"AU{au}" for au in table.aus), "Avg.")
    headers += ("Interval", _DEVIATION, "Notes", *(("Measured on",) if sources else ()))
    align = ("left",) * (2 + len(columns)) + ("right",) * (3 + len(table.aus)) + ("left",) * (2 if sources else 1)
    lines = []
    for row, ours in pairs:
        words = tuple(column.show(row) for column in columns)
        notes = [*footnotes(row), *([f"Nothing measured: {ours.reason}."] if ours.reason else [])]
        printed = (*(number(row, row.aus[au]) for au in table.aus), number(row, row.mean), EMPTY, EMPTY)
        kind = "paper, suspect" if row.suspect else "paper"
        lines.append((row.method, *words, kind, *printed, told(notes), ""))
        if not ours.reason:
            found, source = _numbers(row, table.aus, ours), "; ".join(_sources(ours.records))
            lines.append((our_method(row), *words, "here", *_shown(row, table.aus, found, ours), "", source))
    return Table(headers, align, tuple(tuple(map(Cell, line[: len(headers)])) for line in lines))


def _shown(row: ReportedRow, aus: Sequence[int], found: _Numbers, ours: MeasuredResult) -> tuple[str, ...]:
    deviation = EMPTY
    if (
        found.mean is not None
        and row.mean is not None
        and all(r.info.dataset.name == row.dataset for r in ours.records)
    ):
        deviation = f"{found.mean - row.mean:+.1f}"
    cells = (number(row, found.by_au.get(au)) for au in aus)
    return (*cells, number(row, found.mean), found.interval, deviation)


def _numbers(row: ReportedRow, aus: Sequence[int], ours: MeasuredResult) -> _Numbers:
    if row.metric == "gflops":
        return _Numbers(mean=ours.cost.flops / 1e9) if ours.cost else _Numbers()
    scored = set(ours.records[0].info.protocol.aus)
    wanted = sorted(scored & set(aus)) if aus else sorted(scored)
    if not wanted:
        raise RecordError("scores no AU of the table", where=ours.records[0].relative_path)
    tables = [record.counts[record.counts["au"].isin(wanted)] for record in ours.records]
    whole = set(aus) <= scored
    if row.metric == "f1":
        *by_au, mean = confidence_intervals(subject_contributions(tables, row.condition))
        shown = {au: 100 * value.estimate for au, value in zip(wanted, by_au, strict=True)}
        return _Numbers(shown, 100 * mean.estimate if whole else None, _bounds(mean) if whole else EMPTY)
    cells = [scores.accuracy(scores.sum_over_subjects(counts, row.condition).cells) for counts in tables]
    shown = {au: 100 * scores.mean(scores.by_au(each)[i] for each in cells) for i, au in enumerate(wanted)}
    folds = [scores.mean(fold) for each in cells for fold in each.tolist()]
    spread = f"± {100 * scores.std(folds):.1f}"
    return _Numbers(shown, 100 * scores.mean(folds) if whole else None, spread if whole else EMPTY)


def _bounds(interval: ConfidenceInterval) -> str:
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
