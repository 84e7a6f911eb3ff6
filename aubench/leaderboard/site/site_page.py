"""One HTML file with all boards, scripts and styles, which loads nothing and forbids all connections."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from string import Template
from xml.etree.ElementTree import Element

from aubench._util import atomic
from aubench.leaderboard.extensions import PageExtension
from aubench.leaderboard.protocol_page import ProtocolResults
from aubench.leaderboard.site import boards, libraries
from aubench.leaderboard.site.boards import Board
from aubench.leaderboard.site.elements import HEAT_STEPS, block_elements, element, to_html
from aubench.leaderboard.site.row_details import details

FILE = "site/index.html"
"""Path of the page in a leaderboard. It is built, not committed."""
_ASSETS = Path(__file__).parent / "assets"


def write(root: Path, protocols: Sequence[ProtocolResults], extensions: Sequence[PageExtension]) -> Path | None:
    """Write the page of a leaderboard, or remove an old one if a package of the extra ``site`` is not installed.

    Returns:
        The file; None if a package is missing.
    """
    path = root / FILE
    if libraries.missing_packages():
        path.unlink(missing_ok=True)
        return None
    atomic.write_text(path, site_html(protocols, extensions))
    return path


def site_html(protocols: Sequence[ProtocolResults], extensions: Sequence[PageExtension]) -> str:
    """Build the page. Equal results give equal bytes.

    Raises:
        DataError: The installed version of a library has an unknown format.
    """
    with libraries.vega_meanwhile() as vega:
        contents = _contents(protocols, extensions)
        libraries_and_own = (libraries.datatables(), vega(), _asset("charts.js"), _asset("site.js"))
    scripts = [_script_text(text) for text in libraries_and_own]
    shades = "".join(f".heat{i}{{--share:{100 * i // HEAT_STEPS}%}}" for i in range(HEAT_STEPS + 1))
    style = _asset("site.css") + shades
    fields = {
        **contents,
        "policy": _policy(scripts, style),
        "style": style,
        "scripts": "\n".join(f'<script type="module">{text}</script>' for text in scripts),
    }
    return Template(_asset("page.html")).substitute(fields)


def _contents(protocols: Sequence[ProtocolResults], extensions: Sequence[PageExtension]) -> dict[str, str]:
    """Build the parts of the page that show records."""
    all_boards = boards.boards_of(protocols)
    sections = [boards.board_element(board, extensions) for board in all_boards] + _further_pages(extensions)
    articles = [details(entry, board.table, board.id) for board in all_boards for entry in board.table.methods]
    return {
        "options": "".join(map(to_html, _options(all_boards, sections))),
        "sections": "\n".join(map(to_html, sections)),
        "details": _compressed("".join(map(to_html, articles))),
        "data": _json([boards.board_data(board) for board in all_boards]),
    }


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str], style: str) -> str:
    """Return a content security policy that allows these scripts and this style and no connection."""
    hashes = {"script-src": scripts, "style-src": [style]}
    allowed = "; ".join(f"{name} {' '.join(map(_source_hash, texts))}" for name, texts in hashes.items())
    blocked = "; ".join(f"{name} 'none'" for name in ("default-src", "connect-src", "base-uri", "form-action"))
    return f"{blocked}; {allowed}; img-src data:"


def _source_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _script_text(text: str) -> str:
    r"""Write ``<`` before ``!--``, ``script`` and ``/script`` as ``\x3c``, which HTML would otherwise interpret."""
    return re.sub(r"<(?=!--|/?script)", r"\\x3c", text, flags=re.IGNORECASE)


def _json(content: object) -> str:
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _compressed(text: str) -> str:
    """Compress the details of rows, which are the largest part of a page with many rows."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _options(all_boards: Sequence[Board], sections: Sequence[Element]) -> list[Element]:
    """Create the choices of the selector: the boards by protocol, then further pages."""
    groups: dict[str, list[Element]] = {}
    for board in all_boards:
        option = element("option", f"{board.protocol}: {board.title}", value=board.id)
        groups.setdefault(board.protocol, []).append(option)
    options = [element("optgroup", *choices, label=name) for name, choices in groups.items()]
    for section in sections[len(all_boards) :]:
        options.append(element("option", section.get("data-title", ""), value=section.get("data-board", "")))
    return options


def _further_pages(extensions: Sequence[PageExtension]) -> list[Element]:
    """Create the sections of the extensions' own pages, whose first block is the title."""
    sections = []
    for extension in extensions:
        for name, (title, *blocks) in extension.pages().items():
            text = str(title).lstrip("# ")
            parts = [element("h2", text), *block_elements(blocks, text)]
            board = name.removesuffix(".md")
            sections.append(element("section", *parts, class_="board", data_board=board, data_title=text))
    return sections
