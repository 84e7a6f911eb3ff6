"""Segments of a JPEG, and holes in its scans: pages of zeros that no picture encodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_HOLE = bytes(4096)  # a page that a copy did not write
_TABLES, SCAN = 0xC4, 0xDA
"""Markers of Huffman tables and of a scan."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # after the data of a scan
_AC = 0x10  # class of a table of AC coefficients, beside its number


def has_hole(data: bytes, start: int, end: int) -> bool:
    """Return whether scans have a page of zeros that is not a plain area.

    Zero bits repeat the first symbol of each Huffman table. The usual tables begin with a coefficient. Tables for one
    picture may begin with the end of a block, and plain areas are zeros. A hole is then not to be told from them.

    Args:
        data: Bytes of the file.
        start: Start of the first scan's data.
        end: Position of the end marker.
    """
    if data.find(_HOLE, start, end) < 0:
        return False
    data, stop = data[:end], 2
    first_symbols: dict[int, int] = {}
    for marker, content, at in segments(data):
        stop = at
        if marker == _TABLES:
            first_symbols |= _first_symbols(content)
        if marker == SCAN:
            stop = _scan_end(data, at)
            if data.find(_HOLE, at, stop) >= 0 and not _zeros_are_plain(content, first_symbols):
                return True
    return data.find(_HOLE, stop) >= 0


def segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Iterate over the segments of a file: marker, content, and where the next segment or the data of a scan begin."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        start, at = at + 4, at + 2 + int.from_bytes(data[at + 2 : at + 4])
        yield marker, data[start:at], at
        at = _scan_end(data, at) if marker == SCAN else at


def _scan_end(data: bytes, start: int) -> int:
    following = _MARKER.search(data, start)
    return following.start() if following else len(data)


def _first_symbols(segment: bytes) -> dict[int, int]:
    """Return the symbol of zero bits by table: class times 16, and number."""
    symbols, at = {}, 0
    while at + 17 < len(segment):
        symbols[segment[at]] = segment[at + 17]
        at += 17 + sum(segment[at + 1 : at + 17])
    return symbols


def _zeros_are_plain(header: bytes, first_symbols: Mapping[int, int]) -> bool:
    """Return whether zero bits of a scan are blocks like the block before, in all of its components."""
    components = header[0] if header else 0
    if not components or len(header) < 4 + 2 * components:
        return False
    tables = [header[2 + 2 * i] for i in range(components)]
    first, last, bits = header[1 + 2 * components : 4 + 2 * components]
    refines = bits >> 4 > 0
    dc = [0] if refines else [first_symbols.get(table >> 4) for table in tables]  # refinement bits have no table
    ac = [first_symbols.get(_AC | table & 0xF) for table in tables]
    is_sequential = last == 63 and first == 0
    dc_is_plain = first > 0 or all(symbol == 0 for symbol in dc)
    ac_is_plain = last == 0 or all(_ends_block(symbol, is_sequential) for symbol in ac)
    return dc_is_plain and ac_is_plain


def _ends_block(symbol: int | None, is_sequential: bool) -> bool:
    """Return whether a symbol ends a block, or, in a progressive scan, a run of blocks."""
    return symbol == 0 or (not is_sequential and symbol is not None and symbol & 0xF == 0 and symbol != 0xF0)
