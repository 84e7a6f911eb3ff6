"""Reproduced tables: each row as printed in the paper, followed by the numbers measured here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aubench.core.recipe_text import recipe_text
from aubench.leaderboard.preset_differences import preset_differences
from aubench.leaderboard.render import EMPTY, Block, Table, as_csv, escaped, latex, markdown, text_table
from aubench.leaderboard.tables import modality_code
from aubench.papers.measured_numbers import FigurePoint, MeasuredResult, measure, point_f1
from aubench.papers.reported import AUS, ReportedRow, ReportedTable
from aubench.papers.reported_page import Footnotes, content, footnotes, labels, number, our_method
from aubench.results.record import Record

_METRICS = {"f1": "F1", "acc": "accuracy", "gflops": "GFLOPs", "gmacs": "GMACs"}
_READINGS = {
    "f1": "F1 in %, mean over folds and seeds. **Interval**: 95 % over test subjects.",
    "acc": "Accuracy in %, mean over folds and seeds. **Interval**: standard deviation over folds and seeds.",
    "gflops": "GFLOPs per frame. Counted here at the paper's full size, twice the multiply-accumulates. Takes no run.",
    "gmacs": "GMACs per frame. Counted here at the paper's full size, half of the FLOPs. Takes no run.",
}
_DIGITS = 8
"""Number of leading digits of a run's id that a page shows."""
_DEVIATION = "Deviation"
_DEVIATION_READING = (
    "**Deviation**: what was measured here minus what the paper prints, in the unit of the table; only where both "
    "are of the same data set."
)
_SYNTH = (
    "synth has rendered faces instead of the paper's data, so these numbers neither confirm nor contradict the paper's."
)


def name_of(table: ReportedTable) -> str:
    """Return the name of a table in commands: ``amf-table-1``, ``au-vmae-appendix-3``."""
    return table.name.replace("appendix_table", "appendix").replace("_", "-")


def title_of(table: ReportedTable) -> str:
    """Return source, metrics and data sets of a table in one line."""
    return f"{table.rows[0].source}: {content(table, _METRICS)}, {len(table.rows)} rows"


def render(table: ReportedTable, measured: Sequence[MeasuredResult], form: str, image: str = "") -> str:
    """Render a table with reported and measured numbers.

    Args:
        table: Table as reported.
        measured: Measured counterpart of each row, in the order of the rows.
        form: ``markdown``, ``latex`` or ``csv``.
        image: File of the figure, shown in Markdown; empty without a figure.

    Raises:
        RecordError: The records of a row differ in more than their seed.
    """
    pairs = list(zip(table.rows, measured, strict=True))
    notes = Footnotes()
    if form == "csv":
        return as_csv(_merge(table, pairs, " ".join, sources=True))
    merged = _merge(table, pairs, notes.refs)
    records = [record for result in measured for record in result.records]
    readings = [_READINGS[metric] for metric in dict.fromkeys(row.metric for row in table.rows)]
    if all(cell.text == EMPTY for cell in merged.column(_DEVIATION)):
        merged = merged.without(_DEVIATION)
    else:
        readings.append(_DEVIATION_READING)
    head = _head(table.rows[0].source, " ".join(readings), records, image if form == "markdown" else "")
    return _page([*head, merged, notes.block(), *provenance_note(records)], form)


def render_points(title: str, points: Sequence[FigurePoint], form: str, image: str = "") -> str:
    """Render the numbers of a figure.

    Args:
        title: Title of the figure.
        points: Numbers of the figure.
        form: ``markdown``, ``latex`` or ``csv``.
        image: File of the figure, shown in Markdown; empty without a figure.
    """
    lines = [(point.label, point.condition, *(f"{value:.1f}" for value in point_f1(point))) for point in points]
    table = text_table(("Row", "Condition", "F1", "F1 low", "F1 high"), "llrrr", lines)
    if form == "csv":
        return as_csv(table)
    reading = "F1 in %, mean over AUs, folds and seeds; low and high bound the 95 % interval over test subjects."
    records = [record for point in points for record in point.records]
    head = _head(title, reading, records, image if form == "markdown" else "")
    return _page([*head, table, *provenance_note(records)], form)


def _head(title: str, reading: str, records: Sequence[Record], image: str) -> list[Block]:
    """Return heading with protocols, explanation, and image if there is one."""
    protocols = ", ".join(dict.fromkeys(record.info.protocol.name for record in records))
    heading = f"# {escaped(title)}" + (f", measured on {protocols}" if protocols else "")
    return [heading, reading, f"![{escaped(title)}]({image})" if image else ""]


def provenance_note(records: Sequence[Record]) -> list[Block]:
    """Return the list of runs that numbers come from; nothing without records."""
    lines = [f"- Measured on {source}." for source in _sources(records, _DIGITS)]
    is_synth = any(record.info.dataset.name == "synth" for record in records)
    return ["\n".join([*lines, *([f"- {_SYNTH}"] if is_synth else [])])] if lines else []


def _sources(records: Sequence[Record], digits: int | None = None) -> list[str]:
    """Return protocol, recipe, selection, store, seeds and run ids; one line per distinct value of the first four.

    Args:
        records: Records of the runs.
        digits: Number of leading digits of the ids; all if None.
    """
    runs: dict[str, dict[str, list[str]]] = {}
    seeds: dict[str, set[int]] = {}
    for info in (record.info for record in records):
        protocol = f"{info.protocol.name} version {info.protocol.version}, {modality_code(info.protocol.modalities)}"
        store = f"store {info.dataset.name} {info.dataset.digest[:12]}"
        recipe = recipe_text(info.preset, preset_differences(info), info.recipe)
        source = f"{protocol}; preset {recipe}; selection {info.selection}; {store}"
        seeds.setdefault(source, set()).add(info.seed)
        ids = runs.setdefault(source, {}).setdefault(info.method.name, [])
        ids += [info.run[:digits]] if info.run[:digits] not in ids else []
    lines = []
    for source, methods in runs.items():
        ids_by_method = ", ".join(f"{name} {' '.join(ids)}" for name, ids in methods.items())
        lines.append(f"{source}; seeds {', '.join(map(str, sorted(seeds[source])))}; runs {ids_by_method}")
    return lines


def _page(blocks: Sequence[Block], form: str) -> str:
    blocks = [block for block in blocks if block]
    return latex(blocks) if form == "latex" else markdown(blocks)


def _merge(
    table: ReportedTable,
    pairs: Sequence[tuple[ReportedRow, MeasuredResult]],
    join_notes: Callable[[Sequence[str]], str],
    *,
    sources: bool = False,
) -> Table:
    """Return two lines per row, reported and measured; one line for a row without measurement."""
    columns = labels(table.rows)
    headers = ("Method", *columns, "Numbers", *(f"AU{au}" for au in table.aus), "Avg.")
    headers += ("Interval", _DEVIATION, "Notes", *(("Measured on",) if sources else ()))
    align = "l" * (2 + len(columns)) + "r" * (3 + len(table.aus)) + "l" * (2 if sources else 1)
    lines = []
    for (row, result), texts in zip(pairs, zip(*columns.values(), strict=True), strict=True):
        notes = [*footnotes(row), *([f"Nothing measured: {result.reason}."] if result.reason else [])]
        printed = (*(number(row, row.aus[au]) for au in table.aus), number(row, row.mean), EMPTY, EMPTY)
        kind = "paper, suspect" if row.suspect else "paper"
        lines.append((row.method, *texts, kind, *printed, join_notes(notes), ""))
        if not result.reason:
            cells, source = _measured_cells(row, table.aus, result), "; ".join(_sources(result.records))
            lines.append((our_method(row), *texts, "here", *cells, "", source))
    return text_table(headers, align, (line[: len(headers)] for line in lines))


def _measured_cells(row: ReportedRow, aus: Sequence[int], result: MeasuredResult) -> tuple[str, ...]:
    numbers, deviation = measure(row, aus, result), EMPTY
    is_comparable = all(_is_comparable(record, row, aus) for record in result.records)
    if numbers.mean is not None and row.mean is not None and is_comparable:
        deviation = f"{numbers.mean - row.mean:+z.1f}"
    cells = (number(row, numbers.by_au.get(au)) for au in aus)
    return (*cells, number(row, numbers.mean), numbers.interval, deviation)


def _is_comparable(record: Record, row: ReportedRow, aus: Sequence[int]) -> bool:
    """Return whether a record is of a row's data set and has a mean over the same AUs.

    :func:`measure` gives a mean over the AUs of the table, or over all of the record if the table has means only.
    """
    info = record.info
    return info.dataset.name == row.dataset and (bool(aus) or set(info.protocol.aus) == set(AUS[row.dataset]))
