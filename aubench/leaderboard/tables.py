"""The tables of a protocol's page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aubench.core.task import Modality
from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.records import RECORDS, StoredRecord
from aubench.leaderboard.render import Cell, Table
from aubench.metrics.intervals import ConfidenceInterval
from aubench.results.record import Git, Pretraining, RecordInfo, Search

EMPTY = "–"
_LONGEST = 240
"""Characters of a cell; what records say has no other bound."""
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
    show: Callable[[Entry], str]
    best: Callable[[Entry], float | None] | None = None
    align: str = "right"


def scores(section: RankedTable) -> Table:
    """Rank, method, headline numbers and cost of each row."""
    return _table(section, [*_identity(section), *_numbers(), *_cost()])


def per_au(section: RankedTable) -> Table:
    """F1 of each AU in each row."""
    aus = [_percent_column(f"AU{au}", partial(Entry.f1_of, au=au)) for au in section.aus]
    return _table(section, [*_identity(section, brief=True), *aus, _percent_column("Mean", lambda row: row.f1)])


def incomplete(runs: Sequence[StoredRecord]) -> Table:
    """Runs that are not ranked, and why."""
    rows = [
        (
            *map(
                Cell,
                (info.method.name, modality_code(info.method.modalities), info.preset, info.selection, str(info.seed)),
            ),
            Cell(_missing(info)),
        )
        for info in (kept.record.info for kept in runs)
    ]
    headers = ("Method", "Modalities", "Preset", "Selection", "Seed", "Missing")
    return Table(headers, ("left", "left", "left", "left", "right", "left"), tuple(rows))


def provenance(rows: Sequence[Entry]) -> Table:
    """Where each row's numbers come from: the records of its seeds, and what ran; what seeds differ in is all told."""
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


def modality_code(modalities: Sequence[Modality]) -> str:
    """Modalities as they are written in tables: ``V+D``."""
    return "+".join(modality.letter for modality in modalities)


def recipe_label(row: Entry, rows: Sequence[Entry]) -> str:
    """A row's preset, and those recipe values that are not the preset's, or in which rows of the same method differ.

    A recipe that was searched is called tuned, and the search named where there are several. The precision, and the
    digest of the method's file, are told where rows of the same method differ in it.
    """
    info = row.info
    same = [
        r for r in rows if (r.name, r.info.preset, r.info.search.tuned) == (row.name, info.preset, info.search.tuned)
    ]
    own = [info.device.precision] if len({r.info.device.precision for r in same}) > 1 else []
    own += [f"file {(info.method.file or '')[:8]}"] if len({r.info.method.file for r in same}) > 1 else []
    if info.search.tuned:
        return ", ".join([info.preset, "tuned" + (f" ({info.search.study})" if len(same) > 1 else ""), *own])
    recipes = [r.info.recipe for r in same]
    keys = sorted({key for recipe in recipes for key in recipe})
    absent = object()
    differing = [
        key
        for key in keys
        if key in info.changed or any(r.get(key, absent) != info.recipe.get(key, absent) for r in recipes)
    ]
    changes = [f"{key}={_value(info.recipe[key])}" for key in differing if key in info.recipe]
    return ", ".join([info.preset, *changes, *own])


def display_name(row: Entry, rows: Sequence[Entry]) -> str:
    """A row's method, and what sets it apart from other rows of the same method."""
    if not row.runs:
        return row.name
    told, presets = recipe_label(row, rows), {r.info.preset for r in rows if r.name == row.name}
    return row.name + (told.removeprefix(row.info.preset) if len(presets) == 1 else f", {told}")


def _identity(section: RankedTable, *, brief: bool = False) -> list[Column]:
    def of_run(show: Callable[[RecordInfo], str]) -> Callable[[Entry], str]:
        return lambda row: show(row.info) if row.runs else EMPTY

    columns = [
        Column("#", lambda row: EMPTY if row.position is None else str(row.position)),
        Column("Method", lambda row: row.name, align="left"),
        Column("Fidelity", of_run(lambda info: FIDELITY[info.method.fidelity]), align="left"),
        Column("Modalities", of_run(lambda info: modality_code(info.method.modalities)), align="left"),
        Column("Preset", lambda row: recipe_label(row, section.is_ranked) if row.runs else EMPTY, align="left"),
    ]
    return [column for column in columns if not (brief and column.header == "Fidelity")]


def _numbers() -> list[Column]:
    return [
        Column("F1", lambda row: f"{_percent(row.f1)} ± {_percent(row.spread)}", lambda row: row.f1),
        Column("Rank", lambda row: EMPTY if row.rank is None else str(row.rank)),
        Column("Above always positive", lambda row: _margin(row.delta_always_positive)),
        _percent_column("F1 pooled", lambda row: row.mean("f1_pooled")),
        _percent_column("ACC", lambda row: row.mean("acc")),
        _percent_column("AUC", lambda row: row.mean("auc")),
    ]


def _cost() -> list[Column]:
    return [
        Column("GFLOPs", lambda row: f"{row.info.compute.total.flops / 1e9:.3f}" if row.runs else EMPTY),
        Column("Params (M)", lambda row: f"{row.info.compute.total.parameters / 1e6:.2f}" if row.runs else EMPTY),
        Column("Seeds", lambda row: str(len(row.runs)) if row.runs else EMPTY),
    ]


def _percent_column(header: str, value: Callable[[Entry], float | None]) -> Column:
    return Column(header, lambda row: _percent(value(row)), value)


def _table(section: RankedTable, columns: Sequence[Column]) -> Table:
    best = {column.header: _best(column, section.is_ranked) for column in columns}

    def cell(column: Column, row: Entry) -> Cell:
        bold = (
            column.best is not None and row.position is not None and _percent(column.best(row)) == best[column.header]
        )
        return Cell(column.show(row), bold)

    rows = tuple(tuple(cell(column, row) for column in columns) for row in section.entries)
    return Table(tuple(column.header for column in columns), tuple(column.align for column in columns), rows)


def _best(column: Column, rows: Sequence[Entry]) -> str | None:
    values = [value for row in rows if column.best is not None and (value := column.best(row)) is not None]
    return _percent(max(values)) if values else None


def _percent(value: float | None) -> str:
    return EMPTY if value is None else f"{100 * value:.1f}"


def _margin(margin: ConfidenceInterval | None) -> str:
    if margin is None:
        return EMPTY
    low, middle, high = (f"{100 * value:+.1f}" for value in (margin.low, margin.estimate, margin.high))
    return f"{middle} ({low} to {high})"


def _missing(info: RecordInfo) -> str:
    lacking = sorted(set(range(1, info.protocol.fold_count + 1)) - {fold.fold for fold in info.folds})
    return f"fold{'s' if len(lacking) > 1 else ''} {', '.join(map(str, lacking))} of {info.protocol.fold_count}"


def _origin(row: Entry, rows: Sequence[Entry]) -> tuple[Cell, ...]:
    info = row.info
    links = tuple(
        (str(k.record.info.seed), f"{RECORDS}/{k.record.relative_path.as_posix()}/record.json") for k in row.runs
    )
    infos = [kept.record.info for kept in row.runs]
    made = [one for info in infos for one in info.environments]
    texts = (
        _each(text for one in infos for text in _seen(one)) or "nothing",
        _searched(info.search),
        _range(one.speed.train_frames_per_s for one in infos),
        _range(one.speed.inference_frames_per_s for one in infos),
        _each(f"{one.device.name}, {one.device.precision}, threads: {one.device.threads}" for one in made),
        _each(_commit(one.git) for one in made),
        f"{info.dataset.version} {info.dataset.digest[:8]}",
    )
    first = (row.name, recipe_label(row, rows), info.selection, modality_code(info.protocol.modalities))
    return (*map(Cell, first), Cell("", links=links), *(Cell(text[:_LONGEST]) for text in texts))


def _searched(search: Search) -> str:
    """Trials, and what they have cost."""
    if not search.tuned:
        return str(search.trials)
    cost = () if search.seconds is None else (f"{search.seconds:,.0f} s", f"{search.frames or 0:,} frames")
    return "; ".join([f"{search.trials} by {search.sampler}", *cost])


def _each(texts: Iterable[str]) -> str:
    """What the runs of a row say, each thing once."""
    return "; ".join(dict.fromkeys(texts))


def _seen(info: RecordInfo) -> list[str]:
    return [_entry(entry, info) for entry in info.pretraining]


def _entry(entry: Pretraining, info: RecordInfo) -> str:
    tested = {s for fold in info.folds if entry.fold in (None, fold.fold) for s in fold.test}
    leak = " (test subjects among them)" if tested & set(entry.subjects) else ""
    return (", ".join(entry.datasets) or entry.source) + leak


def _commit(git: Git) -> str:
    return EMPTY if git.commit is None else git.commit[:8] + (" + changes" if git.dirty else "")


def _range(speeds: Iterable[float | None]) -> str:
    """The lowest and the highest speed of those measured."""
    known = [speed for speed in speeds if speed is not None]
    return " to ".join(dict.fromkeys(f"{bound(known):,.0f}" for bound in (min, max))) if known else EMPTY


def _value(value: Any) -> str:
    return json.dumps(value, sort_keys=True)[:40].strip('"')
