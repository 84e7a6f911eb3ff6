"""Learning curves of methods: validation F1 against the frames of supervised training, over folds and seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aubench.leaderboard import protocol_page, tables
from aubench.leaderboard.curve_points import LearningCurve
from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.protocol_page import ProtocolResults
from aubench.leaderboard.render import EMPTY, Block, Table, template, text_table
from aubench.metrics import scores

_SHARES = {"F1 at 1/8": 1 / 8, "F1 at 1/4": 1 / 4, "F1 at 1/2": 1 / 2, "F1 at 3/4": 3 / 4, "F1 at all": 1.0}
"""Columns of the table with their shares of the supervised frames."""


def learning_curves(entry: Entry) -> list[LearningCurve]:
    """List the curves of all folds and seeds of an entry; none if a record lacks them or nothing was validated."""
    by_run = [run.curves for run in entry.runs]
    if any(not curves or any(not curve.f1.size for curve in curves) for curves in by_run):
        return []
    return [curve for curves in by_run for curve in curves]


def f1_at(curves: Sequence[LearningCurve], share: float) -> float | None:
    """Average F1 over curves at a share of the frames of each; None before the first epoch of one."""
    values = [float(curve.at([share * curve.budget])[0]) for curve in curves]
    return None if np.isnan(values).any() else scores.mean(values)


def page(results: ProtocolResults) -> list[Block]:
    """Build the page of learning curves of a protocol; empty if no method has any."""
    ranked = [block for table in results.ranked for block in _section(table, results.ranked, "##")]
    demos = [block for table in results.demos for block in _section(table, results.demos, "###")]
    if not ranked and not demos:
        return []
    back = f"Scores on the test subjects: [{results.name}]({results.name}.md)."
    blocks = [f"# Learning curves of {results.name}", template("curves")["reading"], back, *ranked]
    return [*blocks, *(protocol_page.demo_blocks() if demos else ()), *demos]


def curve_table(table: RankedTable) -> Table | None:
    """Build the table of the learning curves of one ranked table; None if no method has any."""
    rows = [(entry, curves) for entry in table.methods if (curves := learning_curves(entry))]
    return _table(table, rows) if rows else None


def _section(table: RankedTable, all_tables: Sequence[RankedTable], level: str) -> list[Block]:
    curves = curve_table(table)
    return [f"{level} {protocol_page.heading(table, all_tables)}", *oracle_note(table), curves] if curves else []


def oracle_note(table: RankedTable) -> list[Block]:
    """Return the text that learning curves on test subjects need; none for other tables."""
    return [template("curves")["oracle_test"]] if table.selection == "oracle_test" else []


def _table(table: RankedTable, rows: Sequence[tuple[Entry, list[LearningCurve]]]) -> Table:
    headers = ("Method", "Modalities", "Preset", "Pre-training frames", "Frames", *_SHARES, "Second half", "Seeds")
    lines = []
    for entry, curves in rows:
        values = [f1_at(curves, share) for share in _SHARES.values()]
        half, full = f1_at(curves, 0.5), f1_at(curves, 1.0)
        lines.append(
            (
                *(entry.name, tables.modality_code(entry.info.method.modalities)),
                tables.recipe_label(entry, table.methods_by_name[entry.name]),
                *map(tables.integer, (entry.pretraining_frames, entry.frames)),
                *map(tables.percent, values),
                EMPTY if half is None or full is None else tables.percent(full - half, "+"),
                str(len(entry.runs)),
            )
        )
    return text_table(headers, "lll" + "r" * (len(headers) - 3), lines)
