"""Boards of the page: the tables of one protocol and selection rule, with their charts and details of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any
from xml.etree.ElementTree import Element

from aubench.leaderboard import learning_curves, protocol_page, robustness_tables, tables
from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.extensions import PageExtension
from aubench.leaderboard.outdated import outdated_note
from aubench.leaderboard.protocol_page import ProtocolResults
from aubench.leaderboard.render import EMPTY, Block, template, text_table
from aubench.leaderboard.site.chart_data import chart_rows
from aubench.leaderboard.site.elements import block_elements, element, table_element
from aubench.leaderboard.site.row_details import interval_text, row_id


@dataclass(frozen=True)
class Board:
    """One ranked table, demo table or table of submitted predictions.

    Attributes:
        id: Id in links, e.g. ``synth_3fold/ranked/inner_val``.
        protocol: Name of the protocol.
        title: Kind and selection rule.
        results: All results on the protocol.
        table: Entries.
    """

    id: str
    protocol: str
    title: str
    results: ProtocolResults
    table: RankedTable

    @cached_property
    def charts(self) -> list[dict[str, Any]]:
        """Numbers of the charts of each method."""
        return chart_rows(self.table)


def boards_of(protocols: Sequence[ProtocolResults]) -> list[Board]:
    """List the boards, those of ranked runs first on each protocol."""
    boards: list[Board] = []
    for results in protocols:
        kinds = {"ranked": results.ranked, "submitted": results.submitted, "demo": results.demos}
        for kind, peers in kinds.items():
            for table in peers:
                base = f"{results.name}/{kind}/{table.selection}"
                count = sum(board.id.startswith(base) for board in boards)
                title = protocol_page.heading(table, peers) + (", demo: not ranked" if table.is_demo else "")
                boards.append(Board(base + (f"/{count + 1}" if count else ""), results.name, title, results, table))
    return boards


def board_data(board: Board) -> dict[str, Any]:
    """Return the data of a board for scripts: its charts and its rows for downloads."""
    return {
        "id": board.id,
        "protocol": board.protocol,
        "title": board.title,
        "demo": board.table.is_demo,
        "always": next(round(100 * entry.f1, 2) for entry in board.table.entries if not entry.runs),
        "charts": board.charts,
        "rows": [{"protocol": board.protocol, **row} for row in tables.entry_rows(board.table)],
    }


def board_element(board: Board, extensions: Sequence[PageExtension]) -> Element:
    """Create the section of a board, with one part per view."""
    table, name = board.table, f"{board.protocol}: {board.title}"
    ids = [row_id(entry) for entry in table.methods]
    heading = element("h2", f"{board.protocol} ", element("small", board.title))
    views = [
        _view("scores", "Scores", table_element(tables.score_table(table), ids, caption=name)),
        _view(
            "aus",
            "F1 per AU",
            _note("aus"),
            table_element(tables.au_table(table), ids, caption=f"F1 per AU, {name}", heat=True),
        ),
        _view("ranks", "Ranks and seeds", *_rank_parts(board, ids)),
        _view("cost", "Cost", *_cost_parts(board, ids)),
        _view("robustness", "Robustness", *_robustness_parts(board)),
        _view("learning", "Learning curves", *_learning_parts(board)),
        _view("reported", "Reported", *block_elements(_reported(board, extensions), f"Reported numbers, {name}")),
    ]
    notes = [*block_elements(_intro(board), name), *_outdated(board)]
    return element("section", heading, *notes, *views, class_="board", data_board=board.id)


def _view(name: str, title: str, *parts: Element) -> Element:
    return element("div", element("h3", title), *parts, class_="view", data_view=name)


def _note(key: str) -> Element:
    (note,) = block_elements([template("site")[key]], "")
    return note


def _chart(kind: str) -> Element:
    return element("div", class_="chart", data_chart=kind)


def _intro(board: Board) -> list[Block]:
    blocks: list[Block] = []
    if board.table.is_demo:
        blocks += protocol_page.demo_blocks()[1:]
    if board.table.is_external and not board.table.is_demo:
        blocks.append(template("protocol")["external"])
    if board.table.is_submitted:
        blocks.append(template("protocol")["seen"])
    if board.table.selection == "oracle_test":
        blocks.append(template("protocol")["leak"])
    return blocks


def _outdated(board: Board) -> list[Element]:
    note = block_elements(outdated_note(run for entry in board.table.methods for run in entry.runs), "")
    summary = element("summary", template("site")["outdated"])
    return [element("details", summary, *note)] if note else []


def _rank_parts(board: Board, ids: Sequence[str]) -> list[Element]:
    table = board.table
    names = tables.unique_names(table.methods)
    headers = ("Method", "F1", "95 % interval", "F1 by seed", *(["Ranks"] * (not table.is_demo)))
    lines = []
    for name, entry in zip(names, table.methods, strict=True):
        seeds = ", ".join(f"{run.info.seed}: {tables.percent(run.summary.f1_mean)}" for run in entry.runs)
        ranks = [] if table.is_demo else [" to ".join(dict.fromkeys((str(entry.rank), str(entry.last_rank))))]
        bounds = interval_text(entry.f1_interval).removeprefix("95 % interval ")
        lines.append((name, tables.percent(entry.f1), bounds, seeds, *ranks))
    values = table_element(
        text_table(headers, "lrrlr"[: len(headers)], lines), ids, caption=f"Intervals, {board.title}"
    )
    charts = [_note("seeds"), _chart("seeds"), *([] if table.is_demo else [_note("ranks"), _chart("ranks")])]
    return [*charts, values]


def _cost_parts(board: Board, ids: Sequence[str]) -> list[Element]:
    headers = ("Method", "F1", "GFLOPs", "Front of GFLOPs", "Hours", "Front of hours", "Device")
    lines = []
    for row, entry in zip(board.charts, board.table.methods, strict=True):
        costs = (
            (EMPTY if row[cost] is None else tables.decimals(row[cost]), "yes" if row[f"pareto_{cost}"] else "no")
            for cost in ("gflops", "hours")
        )
        f1 = tables.percent(entry.f1)
        lines.append((row["name"], f1, *chain.from_iterable(costs), _devices(entry)))
    values = table_element(text_table(headers, "lrrlrll", lines), ids, caption=f"Cost, {board.title}")
    known = [cost for cost in ("gflops", "hours") if any(row[cost] for row in board.charts)]
    return [_note("cost"), *map(_chart, known), values]


def _devices(entry: Entry) -> str:
    """List the distinct devices of all folds and seeds."""
    labels = (environment.device.label for run in entry.runs for environment in run.info.environments)
    return "; ".join(dict.fromkeys(labels)) or EMPTY


def _robustness_parts(board: Board) -> list[Element]:
    if not any(row["robustness"] for row in board.charts):
        return [_note("no_robustness")]
    brief = robustness_tables.brief_table(board.table.methods)
    if brief is None:
        return [_chart("robustness")]
    text = block_elements([template("protocol")["robustness"]], "")
    return [_chart("robustness"), *text, table_element(brief, caption=f"Robustness, {board.title}")]


def _learning_parts(board: Board) -> list[Element]:
    curves = learning_curves.curve_table(board.table)
    if curves is None:
        return [_note("no_curves")]
    ids = [row_id(entry) for entry in board.table.methods if learning_curves.learning_curves(entry)]
    texts = [template("curves")["reading"], *learning_curves.oracle_note(board.table)]
    values = table_element(curves, ids, caption=f"Learning curves, {board.title}")
    return [_chart("learning"), *block_elements(texts, ""), values]


def _reported(board: Board, extensions: Sequence[PageExtension]) -> list[Block]:
    results = board.results
    blocks = [
        block
        for extension in extensions
        for block in extension.protocol_blocks(results.dataset, results.fold_count, results.ranked)
    ]
    return blocks or [template("site")["no_reported"]]
