"""Tables of robustness: F1 per condition, areas under curves, contributions of modalities, losses per AU."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import groupby

from aubench.core import hashing
from aubench.core.conditions import ALL, CLEAN, FILLS, Condition
from aubench.core.corruption_registry import CORRUPTIONS
from aubench.leaderboard import tables, verify
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.render import EMPTY, FORMATS, Block, Table, as_csv, latex, markdown, template, text_table
from aubench.metrics import robustness_profile
from aubench.metrics.intervals import ConfidenceInterval, confidence_intervals
from aubench.metrics.robustness_profile import ModalitySet, RobustnessProfile

ConditionSelection = Callable[[ModalitySet], Collection[Condition]]
"""Function that selects conditions for the modalities of a method."""

TABLES = ("conditions", "areas", "contributions", "lost")
"""Names of the tables."""
_BRIEF = ("missing:", "noise:")


def profiles(runs: Iterable[StoredRecord], select: ConditionSelection | None = None) -> list[RobustnessProfile]:
    """Compute the robustness profile of each entry.

    Args:
        runs: Records of one protocol, all with the same folds.
        select: Selection of conditions; all conditions of a record by default.

    Returns:
        Profiles by name.
    """
    entries = entries_of(runs, select)
    all_profiles = []
    for name, entry in zip(tables.unique_names(entries), entries, strict=True):
        counts, modalities = [run.record.counts for run in entry.runs], entry.info.method.modalities
        conditions = None if select is None else select(modalities)
        all_profiles.append(robustness_profile.build_profile(name, modalities, counts, conditions))
    return all_profiles


def entries_of(runs: Iterable[StoredRecord], select: ConditionSelection | None = None) -> list[Entry]:
    """Group runs that differ only in their seed, and have the same code of the selected corruptions."""

    def key(run: StoredRecord) -> tuple[str, str, str, str]:
        selected = None if select is None else {condition.kind for condition in select(run.info.method.modalities)}
        codes = {name: code for name, code in run.info.corruptions.items() if selected is None or name in selected}
        return run.info.method.name, run.info.selection, verify.row_key(run), hashing.hash_json(codes)

    ordered = sorted(runs, key=lambda run: (*key(run), run.info.seed))
    return [Entry.from_runs(group) for _, group in groupby(ordered, key=key)]


def make_tables(all_profiles: Sequence[RobustnessProfile]) -> dict[str, Table]:
    """Build all tables by name, without empty ones."""
    functions = (_conditions, _areas, _contributions, _lost)
    by_name = {name: function(all_profiles) for name, function in zip(TABLES, functions, strict=True)}
    return {name: table for name, table in by_name.items() if table.rows}


def render(by_name: dict[str, Table], title: str, form: str) -> dict[str, str]:
    """Format tables.

    Args:
        by_name: Tables by name.
        title: Heading of the page.
        form: One of :data:`aubench.leaderboard.render.FORMATS`.

    Returns:
        Text by file name: one file for all tables, or one per table as CSV.
    """
    if form == "csv":
        return {f"{name}.csv": as_csv(table) for name, table in by_name.items()}
    blocks: list[Block] = [f"# {title}"]
    for name, table in by_name.items():
        blocks += [*template("robustness")[name].split("\n\n"), table]
    return {f"robustness.{FORMATS[form]}": markdown(blocks) if form == "markdown" else latex(blocks)}


def brief_table(entries: Sequence[Entry]) -> Table | None:
    """Build the table of F1 without each modality and with noise on all modalities, of methods of a ranked table.

    Returns:
        None if no entry has such a condition.
    """
    conditions = {Condition.parse(text) for entry in entries for text in entry.conditions if text.startswith(_BRIEF)}
    columns = [
        condition
        for condition in sorted(conditions, key=robustness_profile.condition_sort_key)
        if (condition.kind == "noise" and not condition.modalities)
        or (condition.kind == "missing" and condition.corruption.kind == FILLS[0] and len(condition.modalities) == 1)
    ]
    if not columns:
        return None
    lines = [
        (entry.name, tables.recipe_label(entry, entries), tables.percent(entry.f1), *cells)
        for entry in entries
        if set(cells := _brief_cells(entry, columns)) != {EMPTY}
    ]
    return _table(("Method", "Preset", "Clean", *map(str, columns)), 2, lines)


def _brief_cells(entry: Entry, conditions: Iterable[Condition]) -> list[str]:
    """Format F1 and its difference to clean inputs for each condition that the entry has."""
    cells, present = [], entry.conditions
    for condition in map(str, conditions):
        if condition in present:
            f1 = entry.condition_f1(condition)
            cells.append(f"{tables.percent(f1)} ({tables.percent(f1 - entry.f1, '+')})")
        else:
            cells.append(EMPTY)
    return cells


def _conditions(all_profiles: Sequence[RobustnessProfile]) -> Table:
    headers = ("Method", "Condition", "F1", "F1 low", "F1 high", "Change", "Change low", "Change high")
    lines = [
        (
            *(profile.name, str(condition), *_bounds(profile.f1(condition)[-1])),
            *((EMPTY,) * 3 if condition == CLEAN else _bounds(profile.change(condition)[-1], "+")),
        )
        for profile in all_profiles
        for condition in (CLEAN, *profile.conditions)
    ]
    return _table(headers, 2, lines)


def _areas(all_profiles: Sequence[RobustnessProfile]) -> Table:
    headers = ("Method", "Kind", "On", "Up to", "Area", "Area low", "Area high")
    lines = [
        (
            *(profile.name, kind, "+".join(modalities) or ALL, f"{profile.curve(kind, modalities)[-1][0]:g}"),
            *_bounds(confidence_intervals(profile.area(kind, modalities))[-1]),
        )
        for profile in all_profiles
        for kind in CORRUPTIONS.names()
        for modalities in profile.modality_sets(kind)
    ]
    return _table(headers, 3, lines)


def _contributions(all_profiles: Sequence[RobustnessProfile]) -> Table:
    aus = all_profiles[0].aus
    headers = ("Method", "Measure", "Modality", "Mean", "Mean low", "Mean high", *(f"AU{au}" for au in aus))
    lines = []
    for profile in all_profiles:
        measures = [(f"leave-one-out ({fill})", profile.leave_one_out(fill)) for fill in FILLS]
        measures += [(f"Shapley ({fill})", profile.shapley(fill)) for fill in FILLS]
        for measure, by_modality in measures:
            for modality, contributions in by_modality.items():
                *by_au, mean = confidence_intervals(contributions)
                points = (tables.percent(interval.estimate, "+") for interval in by_au)
                lines.append((profile.name, measure, str(modality), *_bounds(mean, "+"), *points))
    return _table(headers, 3, lines)


def _lost(all_profiles: Sequence[RobustnessProfile]) -> Table:
    aus = all_profiles[0].aus
    lines = [
        (profile.name, str(condition), *(tables.percent(-value.estimate, "+") for value in profile.change(condition)))
        for profile in all_profiles
        for condition in profile.conditions
    ]
    return _table(("Method", "Condition", *(f"AU{au}" for au in aus), "Mean"), 2, lines)


def _table(headers: tuple[str, ...], text_columns: int, lines: Iterable[tuple[str, ...]]) -> Table:
    """Build a table with text in the first columns and numbers in the others."""
    return text_table(headers, "l" * text_columns + "r" * (len(headers) - text_columns), lines)


def _bounds(interval: ConfidenceInterval, sign: str = "") -> tuple[str, ...]:
    return tuple(tables.percent(value, sign) for value in (interval.estimate, interval.low, interval.high))
