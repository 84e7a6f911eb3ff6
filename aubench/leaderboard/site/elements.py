"""HTML elements that escape all text, and tables and Markdown as HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from unicodedata import category
from xml.etree.ElementTree import Element, fromstring, tostring

from aubench.leaderboard.render import EMPTY, Block, Cell, Table

Child = Element | str | None
HEAT_STEPS = 20
"""Number of shades of a heat map."""
_NUMBER = re.compile(r"^[+-]?\d[\d,]*(\.\d+)?([eE][+-]?\d+)?")
_LAST = "-1e99"
"""Sort key of a cell without a value."""


def element(tag: str, *children: Child, **attributes: str) -> Element:
    """Create an element; a trailing ``_`` of an attribute's name is dropped, other ``_`` become ``-``."""
    names = {name.rstrip("_").replace("_", "-"): printable(value) for name, value in attributes.items()}
    parent = Element(tag, names)
    for child in children:
        if isinstance(child, Element):
            parent.append(child)
        elif child and len(parent):
            parent[-1].tail = (parent[-1].tail or "") + printable(child)
        elif child:
            parent.text = (parent.text or "") + printable(child)
    return parent


def to_html(parent: Element) -> str:
    """Serialise an element, with text and attributes escaped."""
    return tostring(parent, encoding="unicode", method="html")


def printable(text: str) -> str:
    """Replace control characters and those that change the direction of text, and other spaces by a plain one."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else " " if category(c) == "Zs" else "\ufffd" for c in text)


def table_element(table: Table, row_ids: Sequence[str] = (), *, caption: str, heat: bool = False) -> Element:
    """Create a table whose cells sort by their numbers.

    Args:
        table: Table.
        row_ids: Id of each row that has details; rows after these have none. The name of the method links to them.
        caption: Accessible name of the table.
        heat: Whether the cells of AUs and their mean have a background by value.
    """
    head = [
        element("th", header, scope="col", **({"class_": "num"} if side == "right" else {}))
        for header, side in zip(table.headers, table.align, strict=True)
    ]
    rows = [
        _row(table, cells, row_id, heat) for cells, row_id in zip(table.rows, chain(row_ids, repeat("")), strict=False)
    ]
    if row_ids:
        for row in rows[len(row_ids) :]:
            row.set("class", "plain")
    caption_element = element("caption", caption)
    parts = (caption_element, element("thead", element("tr", *head)), element("tbody", *rows))
    content = element("table", *parts, **({"class_": "heat"} if heat else {}))
    return element("div", content, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _row(table: Table, cells: Sequence[Cell], row_id: str, heat: bool) -> Element:
    row = element("tr", **({"data_row": row_id} if row_id else {}))
    for header, side, cell in zip(table.headers, table.align, cells, strict=True):
        is_name, is_heat = header == "Method", heat and (header.startswith("AU") or header == "Mean")
        names = [*(["num"] if side == "right" else []), *([_shade(cell)] if is_heat else [])]
        attributes = {"class_": " ".join(names)} if names else {}
        if side == "right":
            attributes["data_order"] = _sort_key(cell.text)
        content: Child = element("strong", cell.text) if cell.bold else cell.text
        if is_name and row_id:
            content = element("a", cell.text, href=f"#row={row_id}")
        links = [element("a", name, href=f"../{address}") for name, address in cell.links]
        spaced = [part for link in links for part in (" ", link)]
        row.append(
            element("th" if is_name else "td", content, *spaced, **attributes, **({"scope": "row"} if is_name else {}))
        )
    return row


def _sort_key(text: str) -> str:
    number = _NUMBER.match(text)
    return number.group().replace(",", "") if number else _LAST


def _shade(cell: Cell) -> str:
    return "" if cell.text == EMPTY else f"heat{round(float(cell.text) / 100 * HEAT_STEPS)}"


def block_elements(blocks: Sequence[Block], caption: str) -> list[Element]:
    """Create the elements of a page's blocks."""
    render = _markdown_renderer()
    return [render(block) if isinstance(block, str) else table_element(block, caption=caption) for block in blocks]


def _markdown_renderer() -> Callable[[str], Element]:
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False, "xhtmlOut": True})

    def render(text: str) -> Element:
        parent = fromstring(f'<div class="prose">{renderer.render(text)}</div>')
        for link in parent.iter("a"):
            link.set("href", _address(link.get("href", "")))
        return parent

    return render


def _address(address: str) -> str:
    """Return the address of a link on the page: Markdown pages are boards, files are relative to the leaderboard."""
    if address.startswith(("https:", "#")):
        return address
    return f"#board={address.removesuffix('.md')}" if address.endswith(".md") else f"../{address}"
