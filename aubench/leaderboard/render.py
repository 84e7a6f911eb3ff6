"""Tables as Markdown and as plain text, from the same cells."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tabulate import tabulate


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What it says; a record may have said it, so it is escaped.
        bold: Whether it is the best of its column.
        links: Addresses relative to the page, by the text of each; they follow ``text``.
    """

    text: str
    bold: bool = False
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        headers: Names of columns.
        align: ``left`` or ``right``, a word a column.
        rows: Cells of each row.
    """

    headers: tuple[str, ...]
    align: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def column(self, header: str) -> tuple[Cell, ...]:
        """Cells below a header."""
        at = self.headers.index(header)
        return tuple(row[at] for row in self.rows)

    def without(self, header: str) -> Table:
        """The same table less a column."""
        at = self.headers.index(header)
        rows = tuple(row[:at] + row[at + 1 :] for row in self.rows)
        return Table(self.headers[:at] + self.headers[at + 1 :], self.align[:at] + self.align[at + 1 :], rows)


Block = str | Table
"""A paragraph or heading in Markdown, or a table."""


def markdown(blocks: Sequence[Block]) -> str:
    """A page: blocks with an empty line between them."""
    return _joined(blocks, "pipe", _marked)


def plain_text(blocks: Sequence[Block]) -> str:
    """The same for a terminal: no escapes, no links, no bold."""
    return _joined(blocks, "simple", _bare)


def latex(blocks: Sequence[Block]) -> str:
    """The same for a paper: tables for the package booktabs, all else as comments."""
    told = [f"% {block.lstrip('# ')}".replace("\n", "\n% ") if isinstance(block, str) else block for block in blocks]
    return _joined(told, "latex_booktabs", _bare)


def escaped(text: str) -> str:
    """Text that stands for itself in a Markdown table and that every machine finds equally wide."""
    narrow = "".join(character if character.isascii() or character in "±–" else "?" for character in text)
    return "".join(f"\\{c}" if c in "\\|*`[]~#!" else c for c in html.escape(narrow, quote=False))


def _joined(blocks: Sequence[Block], style: str, told: Callable[[Cell], str]) -> str:
    parts = [block if isinstance(block, str) else _table(block, style, told) for block in blocks]
    return "\n\n".join(parts) + "\n"


def _table(table: Table, style: str, told: Callable[[Cell], str]) -> str:
    cells = [[told(cell) for cell in row] for row in table.rows]
    return tabulate(cells, table.headers, tablefmt=style, colalign=table.align, disable_numparse=True)


def _marked(cell: Cell) -> str:
    text = f"**{escaped(cell.text)}**" if cell.bold else escaped(cell.text)
    return " ".join([*filter(None, [text]), *(f"[{escaped(name)}]({address})" for name, address in cell.links)])


def _bare(cell: Cell) -> str:
    return " ".join([*filter(None, [cell.text]), *(name for name, _ in cell.links)])
