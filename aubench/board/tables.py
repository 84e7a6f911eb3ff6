"""The tables of a protocol's page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aubench.board.ledger import RECORDS, Kept
from aubench.board.render import Cell, Table
from aubench.board.rows import Row, Section
from aubench.scores.intervals import Interval
from aubench.scores.record import Pretraining, RecordInfo, Search
from aubench.task import Modality

NOTHING = "–"
FIDELITY = {"exact": "exact", "paper-with-resolutions": "resolved", "approximate": "approximate"}
"""Short words for how near a method is to its paper."""


@dataclass(frozen=True)
class Column:
    """A column of a table of rows.

    Attributes:
        header: Its name.
        show: What it says of a row.
        best: The number whose greatest value among the ranked rows is printed bold, as a fraction.
        align: ``left`` or ``right``.
    """

    header: str
    show: Callable[[Row], str]
    best: Callable[[Row], float | None] | None = None
    align: str = "right"


def scores(section: Section) -> Table:
    """Rank, method, headline numbers and cost of each row."""
    return _table(section, [*_identity(section), *_numbers(), *_cost()])


def per_au(section: Section) -> Table:
    """F1 of each AU in each row."""
    aus = [_percent_column(f"AU{au}", partial(Row.f1_of, au=au)) for au in section.aus]
    return _table(section, [*_identity(section, brief=True), *aus, _percent_column("Mean", lambda row: row.f1)])


def incomplete(runs: Sequence[Kept]) -> Table:
    """Runs that are not ranked, and why."""
    rows = [
        (
            *map(
                Cell, (info.method.name, letters(info.method.modalities), info.preset, info.selection, str(info.seed))
            ),
            Cell(_missing(info)),
        )
        for info in (kept.record.info for kept in runs)
    ]
    headers = ("Method", "Modalities", "Preset", "Selection", "Seed", "Missing")
    return Table(headers, ("left", "left", "left", "left", "right", "left"), tuple(rows))


def provenance(rows: Sequence[Row]) -> Table:
    """Where each row's numbers come from: the records of its seeds, and what ran."""
    headers = (
        "Method",
        "Preset",
        "Selection",
        "Offered",
        "Records by seed",
        "Seen before",
        "Trials",
        "Frames/s train",
        "Frames/s test",
        "Device",
        "Commit",
        "Store",
    )
    align = ("left",) * 6 + ("right",) * 3 + ("left",) * 3
    return Table(headers, align, tuple(_origin(row, rows) for row in rows))


def letters(modalities: Sequence[Modality]) -> str:
    """Modalities as they are written in tables: ``V+D``."""
    return "+".join(modality.letter for modality in modalities)


def preset(row: Row, rows: Sequence[Row]) -> str:
    """A row's preset, and those recipe values that are not the preset's, or in which rows of the same method differ.

    A recipe that was searched is called tuned, and the search named where there are several.
    """
    info = row.info
    same = [
        r for r in rows if (r.name, r.info.preset, r.info.search.tuned) == (row.name, info.preset, info.search.tuned)
    ]
    if info.search.tuned:
        return f"{info.preset}, tuned" + (f" ({info.search.study})" if len(same) > 1 else "")
    recipes = [r.info.recipe for r in same]
    keys = sorted({key for recipe in recipes for key in recipe})
    absent = object()
    differing = [
        key
        for key in keys
        if key in info.changed or any(r.get(key, absent) != info.recipe.get(key, absent) for r in recipes)
    ]
    return ", ".join([info.preset, *(f"{key}={_value(info.recipe[key])}" for key in differing if key in info.recipe)])


def named(row: Row, rows: Sequence[Row]) -> str:
    """A row's method, and what sets it apart from other rows of the same method and preset."""
    return row.name + (preset(row, rows).removeprefix(row.info.preset) if row.runs else "")


def _identity(section: Section, *, brief: bool = False) -> list[Column]:
    def of_run(show: Callable[[RecordInfo], str]) -> Callable[[Row], str]:
        return lambda row: show(row.info) if row.runs else NOTHING

    columns = [
        Column("#", lambda row: NOTHING if row.place is None else str(row.place)),
        Column("Method", lambda row: row.name, align="left"),
        Column("Fidelity", of_run(lambda info: FIDELITY[info.method.fidelity]), align="left"),
        Column("Modalities", of_run(lambda info: letters(info.method.modalities)), align="left"),
        Column("Preset", lambda row: preset(row, section.ranked) if row.runs else NOTHING, align="left"),
    ]
    return [column for column in columns if not (brief and column.header == "Fidelity")]


def _numbers() -> list[Column]:
    return [
        Column("F1", lambda row: f"{_percent(row.f1)} ± {_percent(row.spread)}", lambda row: row.f1),
        Column("Rank", lambda row: NOTHING if row.rank is None else str(row.rank)),
        Column("Above always positive", lambda row: _margin(row.margin)),
        _percent_column("F1 pooled", lambda row: row.mean("f1_pooled")),
        _percent_column("ACC", lambda row: row.mean("acc")),
        _percent_column("AUC", lambda row: row.mean("auc")),
    ]


def _cost() -> list[Column]:
    return [
        Column("GFLOPs", lambda row: f"{row.info.compute.total.flops / 1e9:.3f}" if row.runs else NOTHING),
        Column("Params (M)", lambda row: f"{row.info.compute.total.parameters / 1e6:.2f}" if row.runs else NOTHING),
        Column("Seeds", lambda row: str(len(row.runs)) if row.runs else NOTHING),
    ]


def _percent_column(header: str, value: Callable[[Row], float | None]) -> Column:
    return Column(header, lambda row: _percent(value(row)), value)


def _table(section: Section, columns: Sequence[Column]) -> Table:
    best = {column.header: _best(column, section.ranked) for column in columns}

    def cell(column: Column, row: Row) -> Cell:
        bold = column.best is not None and row.place is not None and _percent(column.best(row)) == best[column.header]
        return Cell(column.show(row), bold)

    rows = tuple(tuple(cell(column, row) for column in columns) for row in section.rows)
    return Table(tuple(column.header for column in columns), tuple(column.align for column in columns), rows)


def _best(column: Column, rows: Sequence[Row]) -> str | None:
    values = [value for row in rows if column.best is not None and (value := column.best(row)) is not None]
    return _percent(max(values)) if values else None


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.1f}"


def _margin(margin: Interval | None) -> str:
    if margin is None:
        return NOTHING
    low, middle, high = (f"{100 * value:+.1f}" for value in (margin.low, margin.estimate, margin.high))
    return f"{middle} ({low} to {high})"


def _missing(info: RecordInfo) -> str:
    lacking = sorted(set(range(1, info.protocol.fold_count + 1)) - {fold.fold for fold in info.folds})
    return f"fold{'s' if len(lacking) > 1 else ''} {', '.join(map(str, lacking))} of {info.protocol.fold_count}"


def _origin(row: Row, rows: Sequence[Row]) -> tuple[Cell, ...]:
    info = row.info
    links = tuple((str(k.record.info.seed), f"{RECORDS}/{k.record.place.as_posix()}/record.json") for k in row.runs)
    texts = (
        _seen(info),
        _searched(info.search),
        _speed(info.speed.train_frames_per_s),
        _speed(info.speed.inference_frames_per_s),
        f"{info.device.name}, {info.device.precision}, threads: {info.device.threads}",
        _commit(info),
        f"{info.dataset.version} {info.dataset.digest[:8]}",
    )
    first = (row.name, preset(row, rows), info.selection, letters(info.protocol.modalities))
    return (*map(Cell, first), Cell("", links=links), *(Cell(text[:120]) for text in texts))


def _searched(search: Search) -> str:
    """Trials, and what they have cost."""
    if not search.tuned:
        return str(search.trials)
    cost = () if search.seconds is None else (f"{search.seconds:,.0f} s", f"{search.frames or 0:,} frames")
    return "; ".join([f"{search.trials} by {search.sampler}", *cost])


def _seen(info: RecordInfo) -> str:
    return "; ".join(dict.fromkeys(_entry(entry, info) for entry in info.pretraining)) or "nothing"


def _entry(entry: Pretraining, info: RecordInfo) -> str:
    tested = {s for fold in info.folds if entry.fold in (None, fold.fold) for s in fold.test}
    leak = " (test subjects among them)" if tested & set(entry.subjects) else ""
    return (", ".join(entry.datasets) or entry.source) + leak


def _commit(info: RecordInfo) -> str:
    return NOTHING if info.git.commit is None else info.git.commit[:8] + (" + changes" if info.git.dirty else "")


def _speed(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _value(value: Any) -> str:
    return json.dumps(value, sort_keys=True)[:40].strip('"')
