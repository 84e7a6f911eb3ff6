"""Tables and pages as Markdown, LaTeX, CSV and plain text, and the templates of their prose."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tabulate import tabulate

FORMATS = {"markdown": "md", "latex": "tex", "csv": "csv"}
"""Formats of tables in files, and the file extension of each."""
EMPTY = "–"
"""Text of a cell without a value."""


@dataclass(frozen=True)
class Cell:
    """Cell of a table.

    Attributes:
        text: Unescaped text; it may come from an untrusted record.
        bold: Whether the value is the best of its column.
        links: Addresses relative to the page, by link text; they follow ``text``.
    """

    text: str
    bold: bool = False
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """Table of cells.

    Attributes:
        headers: Column names.
        align: Alignment of each column, ``left`` or ``right``.
        rows: Cells of each row.
    """

    headers: tuple[str, ...]
    align: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def column(self, header: str) -> tuple[Cell, ...]:
        """Return the cells of a column."""
        index = self.headers.index(header)
        return tuple(row[index] for row in self.rows)

    def without(self, header: str) -> Table:
        """Return the table without a column."""
        index = self.headers.index(header)
        rows = tuple(row[:index] + row[index + 1 :] for row in self.rows)
        return Table(
            self.headers[:index] + self.headers[index + 1 :], self.align[:index] + self.align[index + 1 :], rows
        )


def text_table(headers: Iterable[str], align: str, lines: Iterable[Iterable[str]]) -> Table:
    """Build a table of plain cells; ``align`` has ``l`` (left) or ``r`` (right) for each column."""
    sides = tuple({"l": "left", "r": "right"}[letter] for letter in align)
    return Table(tuple(headers), sides, tuple(tuple(map(Cell, line)) for line in lines))


_SPECIAL = "\\|*`[]~#!"
"""Characters that begin or end something in Markdown."""

Block = str | Table
"""Paragraph or heading in Markdown, or a table."""


@cache
def template(name: str, folder: Path = Path(__file__).parent) -> dict[str, str]:
    """Read ``templates/NAME.md`` of a package: texts by the ``<!-- key -->`` comment above each."""
    text = folder.joinpath("templates", f"{name}.md").read_text(encoding="utf-8")
    _, *parts = re.split(r"^<!-- (\w+) -->\n", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))


def markdown(blocks: Sequence[Block]) -> str:
    """Format a page as Markdown, with an empty line between blocks."""
    return _join(blocks, "pipe", _markdown_cell)


def plain_text(blocks: Sequence[Block]) -> str:
    """Format a page for a terminal: no escapes, no links, no bold."""
    return _join([_unescaped(block) if isinstance(block, str) else block for block in blocks], "simple", _plain_cell)


def latex(blocks: Sequence[Block]) -> str:
    """Format a page as LaTeX: tables for the package booktabs, other blocks as comments."""
    comments = [
        f"% {block.lstrip('# ')}".replace("\n", "\n% ") if isinstance(block, str) else block for block in blocks
    ]
    return _join(comments, "latex_booktabs", _plain_cell)


def as_csv(table: Table) -> str:
    """Format a table as CSV; cells without a value are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.headers)
    writer.writerows([["" if cell.text == EMPTY else cell.text for cell in row] for row in table.rows])
    return text.getvalue()


def escaped(text: str) -> str:
    """Escape Markdown and HTML, and replace characters whose width differs between machines."""
    narrow = "".join(character if character.isascii() or character in "±–" else "?" for character in text)
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in html.escape(narrow, quote=False))


def _unescaped(text: str) -> str:
    """Undo :func:`escaped`."""
    return html.unescape(re.sub(rf"\\([{re.escape(_SPECIAL)}])", r"\1", text))


def _join(blocks: Sequence[Block], style: str, show: Callable[[Cell], str]) -> str:
    return "\n\n".join(block if isinstance(block, str) else _grid(block, style, show) for block in blocks) + "\n"


def _grid(table: Table, style: str, show: Callable[[Cell], str]) -> str:
    cells = [[show(cell) for cell in row] for row in table.rows]
    return tabulate(cells, table.headers, tablefmt=style, colalign=table.align, disable_numparse=True)


def _markdown_cell(cell: Cell) -> str:
    text = f"**{escaped(cell.text)}**" if cell.bold else escaped(cell.text)
    return " ".join([*filter(None, [text]), *(f"[{escaped(name)}]({address})" for name, address in cell.links)])


def _plain_cell(cell: Cell) -> str:
    return " ".join([*filter(None, [cell.text]), *(name for name, _ in cell.links)])
