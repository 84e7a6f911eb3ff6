"""Machine-readable results of a leaderboard, ``entries.json``.

``aubench leaderboard build`` writes the file beside the pages, and ``aubench leaderboard show`` prints from it without
computing anything. The file names a digest of the files that it was computed from. A file with another digest is
ignored. ``aubench leaderboard check`` computes the file again and compares its bytes, as it does with the pages.

Content::

    schema_version   2
    content          digest of ``protocols``; a file whose numbers were edited is ignored
    inputs           digest of all files under ``records``, ``reported`` and ``reproductions``, and of the changes of
                     methods and protocols
    protocols        by name: ``blocks`` (the page as shown in a terminal) and ``entries`` (flat rows of numbers)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aubench.core import hashing, method_versions, protocol_versions, system_files
from aubench.leaderboard.render import Block, Cell, Table

FILE = "entries.json"
_SCHEMA = 2
_LIMIT = 16 * 2**20
_INPUTS = ("records", "reported", "reproductions")


@dataclass(frozen=True)
class ProtocolEntries:
    """Results on one protocol, as stored.

    Attributes:
        blocks: Page without links.
        entries: Numbers of each entry.
    """

    blocks: list[Block]
    entries: list[dict[str, Any]]


def to_text(inputs: str, protocols: dict[str, ProtocolEntries]) -> str:
    """Format the content of the file.

    Args:
        inputs: Digest of all that the results depend on.
        protocols: Results by protocol.
    """
    results = {
        name: {"blocks": [_encode(block) for block in results.blocks], "entries": results.entries}
        for name, results in protocols.items()
    }
    content = {
        "schema_version": _SCHEMA,
        "content": hashing.hash_json(results),
        "inputs": inputs,
        "protocols": results,
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_current(root: Path) -> dict[str, ProtocolEntries] | None:
    """Read the file of a leaderboard folder.

    Returns:
        Results by protocol; None if the file is missing, malformed, edited, or computed from other inputs.
    """
    path = root / FILE
    try:
        if path.is_symlink() or path.stat().st_size > _LIMIT:
            return None
        content = json.loads(path.read_bytes(), object_pairs_hook=_printable)
        if (content["schema_version"], content["content"]) != (_SCHEMA, hashing.hash_json(content["protocols"])):
            return None
        if content["inputs"] != inputs_digest(root):
            return None
        return {
            name: ProtocolEntries(list(map(_decode, results["blocks"])), list(map(_checked_row, results["entries"])))
            for name, results in content["protocols"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def stated_inputs(root: Path) -> str | None:
    """Return the digest of the inputs that the file states; None if it states none."""
    with suppress(OSError), (root / FILE).open("rb") as file:
        if match := re.search(rb'^ "inputs": "([0-9a-f]{64})",$', file.read(1024), re.MULTILINE):
            return match[1].decode()
    return None


def inputs_digest(root: Path, records: Mapping[str, str] | None = None) -> str:
    """Compute a digest of all that the results depend on: names and bytes of files, and changes of the methods.

    Args:
        root: Leaderboard folder.
        records: SHA-256 of each file under ``records`` by its path relative to ``root``; they are read if None.
    """
    digests = dict(records or {})
    for folder in _INPUTS[records is not None :]:
        paths = (path for path in system_files.descendants(root / folder) if path.is_file())
        digests |= {path.relative_to(root).as_posix(): hashing.hash_file(path) for path in paths}
    files = sorted(digests.items(), key=lambda item: item[0].split("/"))
    changes = [asdict(change) for change in protocol_versions.changes()]
    return hashing.hash_json([files, method_versions.changes(), *([changes] if changes else [])])


def _encode(block: Block) -> str | dict[str, Any]:
    if isinstance(block, str):
        return block
    rows = [[{"bold": cell.text} if cell.bold else cell.text for cell in row] for row in block.rows]
    return {"headers": block.headers, "align": block.align, "rows": rows}


def _decode(block: str | dict[str, Any]) -> Block:
    if isinstance(block, str):
        return block
    rows = tuple(tuple(map(_decode_cell, row)) for row in block["rows"])
    return Table(tuple(block["headers"]), tuple(block["align"]), rows)


def _decode_cell(cell: str | dict[str, str]) -> Cell:
    text = cell if isinstance(cell, str) else cell["bold"]
    if not isinstance(text, str):
        raise TypeError("a cell is no text")
    return Cell(text, bold=text is not cell)


def _checked_row(row: dict[str, Any]) -> dict[str, Any]:
    if any(isinstance(value, dict | list) for value in row.values()):
        raise TypeError("an entry is not flat")
    return row


def _printable(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Reject control characters, which could change the state of a terminal."""
    for text in _texts([part for pair in pairs for part in pair]):
        if not text.replace("\n", "").isprintable():
            raise ValueError("a text has control characters")
    return dict(pairs)


def _texts(value: Any) -> list[str]:
    return (
        [value] if isinstance(value, str) else [t for v in value for t in _texts(v)] if isinstance(value, list) else []
    )
