"""Records with conditions as tables: F1 under each, areas under curves, contributions, what each AU loses."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import groupby

from aubench.core.conditions import ALL, CLEAN, FILLS, Condition, Kind
from aubench.core.task import Modality
from aubench.leaderboard import tables, verify
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.render import Block, Cell, Table, latex, markdown
from aubench.metrics import robustness_profile, scores
from aubench.metrics.intervals import ConfidenceInterval, confidence_intervals
from aubench.metrics.resampling import SubjectContributions
from aubench.metrics.robustness_profile import ModalitySet, RobustnessProfile

FORMATS = {"markdown": "md", "latex": "tex", "csv": "csv"}
"""How tables may be written, and how the names of such files end."""

ConditionSelection = Callable[[ModalitySet], Collection[Condition]]
"""The conditions to look at, of a method's modalities."""

_LEVELS: tuple[Kind, ...] = ("noise", "mask")
_READING = """\
F1 in %, mean over AUs, folds and seeds; low and high bound the 95 % interval over test subjects. **Change** is F1 minus
that of clean inputs, paired by subject. Sigma is a standard deviation on inputs in [-1, 1]."""
BRIEF = """\
Robustness: F1 in % with images of one modality zeroed (`missing`), or Gaussian noise of the standard deviation named on
all images, which lie in [-1, 1]; in brackets, the difference to clean inputs."""
_HEADINGS = {
    "conditions": ("F1 under each condition", _READING),
    "areas": (
        "Area under the degradation curve",
        "Mean F1 in % between clean inputs and the largest level: trapezoids, divided by the range of levels.",
    ),
    "contributions": (
        "What each modality contributes",
        "In points of F1. Leave-one-out: clean minus F1 without the modality. Shapley: what the modality adds, mean\n"
        "over all orders in which modalities may arrive; these sum to clean minus F1 without any. In brackets: what\n"
        "stood in place of missing images.",
    ),
    "lost": ("What each AU loses", "Clean minus F1 under the condition, in points."),
}


def profiles(runs: Iterable[StoredRecord], wanted: ConditionSelection | None = None) -> list[RobustnessProfile]:
    """Methods under conditions: runs that differ only in their seed are one.

    Args:
        runs: Records of one protocol, all with the same folds.
        wanted: Which conditions; all that a record has when None.

    Returns:
        One for each method and recipe, by name.
    """
    ordered = sorted(runs, key=lambda kept: (*_group(kept), kept.record.info.seed))
    groups = [tuple(group) for _, group in groupby(ordered, key=_group)]
    rows = [Entry(g[0].record.info.method.name, tuple(scores.summary_of(k.record) for k in g), None, g) for g in groups]
    return [_profile(name, row, wanted) for name, row in zip(_names(rows), rows, strict=True)]


def make_tables(found: Sequence[RobustnessProfile]) -> dict[str, Table]:
    """All tables by name; those without a row are left out."""
    every_table = {
        "conditions": _conditions(found),
        "areas": _areas(found),
        "contributions": _contributions(found),
        "lost": _lost(found),
    }
    return {name: table for name, table in every_table.items() if table.rows}


def render(every_table: dict[str, Table], title: str, form: str) -> dict[str, str]:
    """Tables as text.

    Args:
        every_table: By name.
        title: What they are of.
        form: One of :data:`FORMATS`.

    Returns:
        Text by name of file: one for all tables, or one each as CSV.
    """
    if form == "csv":
        return {f"{name}.csv": as_csv(table) for name, table in every_table.items()}
    blocks: list[Block] = [f"# {title}"]
    for name, table in every_table.items():
        heading, reading = _HEADINGS[name]
        blocks += [f"## {heading}", reading, table]
    return {f"robustness.{FORMATS[form]}": markdown(blocks) if form == "markdown" else latex(blocks)}


def brief(rows: Sequence[Entry]) -> Table | None:
    """F1 of rows of a leaderboard without each modality and with noise on all.

    Args:
        rows: With runs.

    Returns:
        None where no row has such a condition.
    """
    common = {id(row): set.intersection(*(set(kept.record.info.conditions) for kept in row.runs)) for row in rows}
    there = {Condition.parse(text) for texts in common.values() for text in texts}
    columns = sorted(filter(_is_brief, there), key=robustness_profile.condition_sort_key)
    if not columns:
        return None
    lines = [
        (row.name, tables.recipe_label(row, rows), f"{100 * row.f1:.1f}", *(_beside_clean(row, c) for c in columns))
        for row in rows
        if common[id(row)] & set(map(str, columns))
    ]
    return _table(("Method", "Preset", "Clean", *map(str, columns)), 2, lines)


def as_csv(table: Table) -> str:
    """A table as CSV; what is not there is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.headers)
    writer.writerows([["" if cell.text == tables.EMPTY else cell.text for cell in row] for row in table.rows])
    return text.getvalue()


def _is_brief(condition: Condition) -> bool:
    zeroed = condition.kind == "missing" and condition.corruption.kind == FILLS[0] and len(condition.modalities) == 1
    return zeroed or (condition.kind == "noise" and not condition.modalities)


def _beside_clean(row: Entry, condition: Condition) -> str:
    """F1, and the difference to clean inputs; nothing where a seed was not put under it."""
    records = [kept.record for kept in row.runs]
    if not all(str(condition) in record.info.conditions for record in records):
        return tables.EMPTY
    cells = [scores.sum_over_subjects(record.counts, str(condition)).cells for record in records]
    f1 = scores.mean(scores.macro_mean(scores.f1(each)) for each in cells)
    return f"{_points(f1)} ({_points(f1 - row.f1, '+')})"


def _group(kept: StoredRecord) -> tuple[str, str, str]:
    info = kept.record.info
    return info.method.name, info.selection, verify.row_key(kept)


def _names(rows: Sequence[Entry]) -> list[str]:
    """The method of each row, with as much of what tells it from others as it takes."""
    methods = [row.name for row in rows]
    recipes = [f"{row.name} ({tables.recipe_label(row, rows)})" for row in rows]
    whole = [
        f"{recipe} {tables.modality_code(row.info.protocol.modalities)} {row.info.selection}"
        for recipe, row in zip(recipes, rows, strict=True)
    ]
    return [
        method if methods.count(method) == 1 else recipe if recipes.count(recipe) == 1 else longest
        for method, recipe, longest in zip(methods, recipes, whole, strict=True)
    ]


def _profile(name: str, row: Entry, wanted: ConditionSelection | None) -> RobustnessProfile:
    modalities = row.info.method.modalities
    conditions = None if wanted is None else wanted(modalities)
    return robustness_profile.build_profile(name, modalities, [kept.record.counts for kept in row.runs], conditions)


def _conditions(found: Sequence[RobustnessProfile]) -> Table:
    headers = ("Method", "Condition", "F1", "F1 low", "F1 high", "Change", "Change low", "Change high")
    lines = [
        (one.name, str(condition), *_bounds(one.f1(condition)[-1]), *_change(one, condition))
        for one in found
        for condition in (CLEAN, *one.conditions)
    ]
    return _table(headers, 2, lines)


def _change(one: RobustnessProfile, condition: Condition) -> tuple[str, ...]:
    return (tables.EMPTY,) * 3 if condition == CLEAN else _bounds(one.change(condition)[-1], "+")


def _areas(found: Sequence[RobustnessProfile]) -> Table:
    headers = ("Method", "Kind", "On", "Up to", "Area", "Area low", "Area high")
    lines = [
        (one.name, kind, "+".join(place) or ALL, f"{one.curve(kind, place)[-1][0]:g}", *_bounds(whole[-1]))
        for one in found
        for kind in _LEVELS
        for place in one.modality_sets(kind)
        for whole in [confidence_intervals(one.area(kind, place))]
    ]
    return _table(headers, 3, lines)


def _contributions(found: Sequence[RobustnessProfile]) -> Table:
    aus = found[0].aus
    headers = ("Method", "Measure", "Modality", "Mean", "Mean low", "Mean high", *(f"AU{au}" for au in aus))
    lines = [
        (one.name, measure, str(modality), *_bounds(whole[-1], "+"), *(_points(au.estimate, "+") for au in whole[:-1]))
        for one in found
        for measure, values in _measures(one)
        for modality, value in values.items()
        for whole in [confidence_intervals(value)]
    ]
    return _table(headers, 3, lines)


def _measures(one: RobustnessProfile) -> list[tuple[str, dict[Modality, SubjectContributions]]]:
    alone = [(f"leave-one-out ({fill})", one.leave_one_out(fill)) for fill in FILLS]
    return [*alone, *((f"Shapley ({fill})", one.shapley(fill)) for fill in FILLS)]


def _lost(found: Sequence[RobustnessProfile]) -> Table:
    aus = found[0].aus
    lines = [
        (one.name, str(condition), *(_points(-value.estimate, "+") for value in one.change(condition)))
        for one in found
        for condition in one.conditions
    ]
    return _table(("Method", "Condition", *(f"AU{au}" for au in aus), "Mean"), 2, lines)


def _table(headers: tuple[str, ...], words: int, lines: Iterable[tuple[str, ...]]) -> Table:
    """A table whose first columns are words, and the others numbers."""
    align = ("left",) * words + ("right",) * (len(headers) - words)
    return Table(headers, align, tuple(tuple(map(Cell, line)) for line in lines))


def _bounds(interval: ConfidenceInterval, sign: str = "") -> tuple[str, ...]:
    return tuple(_points(value, sign) for value in (interval.estimate, interval.low, interval.high))


def _points(value: float, sign: str = "") -> str:
    return f"{round(100 * value, 1) + 0.0:{sign}.1f}"
