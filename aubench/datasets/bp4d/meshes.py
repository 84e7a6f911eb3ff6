"""Reader of Wavefront OBJ files: vertices, texture coordinates and triangles of a scanned face."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aubench._util.jit import compiled
from aubench.core.errors import DataError

_LARGEST = 256 << 20
_AGAIN = "copy the file from the delivery again"
_NEWLINE, _SPACE, _RETURN, _TAB, _SLASH = (ord(c) for c in "\n \r\t/")
_V, _T, _F, _ZERO, _NINE, _PLUS, _MINUS, _POINT, _E, _BIG_E = (ord(c) for c in "vtf09+-.eE")

_NOT_A_NUMBER, _TOO_FEW, _NO_SUCH_VERTEX, _NO_SUCH_TEXTURE, _MIXED = range(1, 6)
_ERRORS = {
    _NOT_A_NUMBER: "has something that is not a finite number",
    _TOO_FEW: "has too few numbers",
    _NO_SUCH_VERTEX: "names a vertex that the file does not hold",
    _NO_SUCH_TEXTURE: "names a texture coordinate that the file does not hold",
    _MIXED: "has corners with and without texture coordinates",
}


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh."""

    vertices: np.ndarray  # (V, 3) float64, in the unit of the file (BP4D: mm)
    texture: np.ndarray  # (T, 2) float64 u and v; T is 0 if the file has none
    triangles: np.ndarray  # (N, 3) int32 rows of ``vertices``
    texture_triangles: np.ndarray  # (N, 3) int32 rows of ``texture``; -1 if the file has none


def read_obj(path: Path) -> Mesh:
    """Read the ``v``, ``vt`` and ``f`` lines of an OBJ file, and split polygons into fans of triangles.

    Raises:
        DataError: The file cannot be read, has no triangle, or has a damaged line: a number that is not finite,
            too few numbers, or an index out of range. The message names file and line.
    """
    text = _text(path)
    counts = _count(text)
    vertices, texture = np.empty((counts[0], 3)), np.empty((counts[1], 2))
    corners = np.full((counts[2], 3, 2), -1, np.int32)
    error, line, written = _parse(text, vertices, texture, corners)
    if error:
        raise DataError(f"the line {_ERRORS[error]}", where=f"{path}:{line}", hint=_AGAIN)
    if not written:
        raise DataError("holds no triangle", where=path, hint=_AGAIN)
    return Mesh(vertices, texture, corners[:written, :, 0], corners[:written, :, 1])


def _text(path: Path) -> np.ndarray:
    """Return the bytes of the file and a final newline, which prevents reads past the end."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST:
                raise DataError("is too large for a face mesh", where=path, hint=_AGAIN)
            text = np.full(size + 1, _NEWLINE, np.uint8)
            file.readinto(text[:size].data)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, hint=_AGAIN) from None
    return text


@compiled
def _skip_line(text: np.ndarray, at: int) -> int:
    while text[at] != _NEWLINE:
        at += 1
    return at + 1


@compiled
def _is_blank(byte: int) -> bool:
    # A membership test takes half of the reading time.
    return byte == _SPACE or byte == _TAB or byte == _RETURN  # noqa: PLR1714


@compiled
def _skip_blanks(text: np.ndarray, at: int) -> int:
    while _is_blank(text[at]):
        at += 1
    return at


@compiled
def _kind(text: np.ndarray, at: int) -> tuple[int, int]:
    """Return the kind of a line (``v``, ``t`` for vt, ``f``, or 0) and the start of its numbers."""
    first = text[at]
    if first == _NEWLINE:
        return 0, at
    second = text[at + 1]
    if first in (_V, _F) and second in (_SPACE, _TAB):
        return first, at + 2
    if first == _V and second == _T and text[at + 2] in (_SPACE, _TAB):
        return _T, at + 3
    return 0, at


@compiled
def _count(text: np.ndarray) -> tuple[int, int, int]:
    """Count vertices, texture coordinates and (at most) triangles."""
    vertices, texture, triangles, at = 0, 0, 0, 0
    while at < len(text):
        kind, at = _kind(text, at)
        if kind == _V:
            vertices += 1
        elif kind == _T:
            texture += 1
        elif kind == _F:
            corners = 0
            at = _skip_blanks(text, at)
            while text[at] != _NEWLINE:
                corners += 1
                while not (_is_blank(text[at]) or text[at] == _NEWLINE):
                    at += 1
                at = _skip_blanks(text, at)
            triangles += max(corners - 2, 0)
        at = _skip_line(text, at)
    return vertices, texture, triangles


@compiled
def _decimal(text: np.ndarray, at: int) -> tuple[bool, float, int]:
    """Parse a decimal number after blanks: success, value, end."""
    at = _skip_blanks(text, at)
    negative = text[at] == _MINUS
    if negative or text[at] == _PLUS:
        at += 1
    value, digits, places, seen_point = 0.0, 0, 0, False
    while _ZERO <= text[at] <= _NINE or (text[at] == _POINT and not seen_point):
        if text[at] == _POINT:
            seen_point = True
        else:
            value = value * 10 + (text[at] - _ZERO)
            digits += 1
            places += seen_point
        at += 1
    power = -places
    if digits and text[at] in (_E, _BIG_E):
        valid, exponent, at = _integer(text, at + 1)
        if not valid:
            return False, 0.0, at
        power += exponent
    ended = _is_blank(text[at]) or text[at] == _NEWLINE
    value = value / 10.0**-power if power < 0 else value * 10.0**power
    return digits > 0 and ended and np.isfinite(value), -value if negative else value, at


@compiled
def _integer(text: np.ndarray, at: int) -> tuple[bool, int, int]:
    """Parse an integer: success, value, end."""
    negative = text[at] == _MINUS
    if negative or text[at] == _PLUS:
        at += 1
    value, start = 0, at
    while _ZERO <= text[at] <= _NINE and at - start < 10:
        value = value * 10 + (text[at] - _ZERO)
        at += 1
    return at > start, -value if negative else value, at


@compiled
def _row(number: int, latest: int) -> int:
    """Convert an index, which counts from 1 or backwards from -1, to a row; an index of 0 yields -1."""
    if number > 0:
        return number - 1
    return latest + number if number < 0 else -1


@compiled
def _corner(text: np.ndarray, at: int, totals: np.ndarray, latest: np.ndarray) -> tuple[int, int, int, int]:
    """Parse ``v``, ``v/vt``, ``v/vt/vn`` or ``v//vn``: error, vertex, texture coordinate (-1: none), end."""
    valid, vertex, at = _integer(text, at)
    if not valid:
        return _NOT_A_NUMBER, 0, 0, at
    vertex = _row(vertex, latest[0])
    if not 0 <= vertex < totals[0]:
        return _NO_SUCH_VERTEX, 0, 0, at
    texture = -1
    if text[at] == _SLASH and text[at + 1] != _SLASH:
        valid, texture, at = _integer(text, at + 1)
        if not valid:
            return _NOT_A_NUMBER, 0, 0, at
        texture = _row(texture, latest[1])
        if not 0 <= texture < totals[1]:
            return _NO_SUCH_TEXTURE, 0, 0, at
    if text[at] == _SLASH:
        at += 1
        valid, _, at = _integer(text, at + (text[at] == _SLASH))
        if not valid:
            return _NOT_A_NUMBER, 0, 0, at
    ended = _is_blank(text[at]) or text[at] == _NEWLINE
    return (0 if ended else _NOT_A_NUMBER), vertex, texture, at


@compiled
def _numbers(text: np.ndarray, at: int, row: np.ndarray) -> tuple[int, int]:
    """Fill a row with decimals: error, end."""
    for i in range(len(row)):
        at = _skip_blanks(text, at)
        if text[at] == _NEWLINE:
            return _TOO_FEW, at
        valid, row[i], at = _decimal(text, at)
        if not valid:
            return _NOT_A_NUMBER, at
    return 0, at


@compiled
def _fan(text: np.ndarray, at: int, totals: np.ndarray, latest: np.ndarray, fan: np.ndarray) -> tuple[int, int, int]:
    """Fill triangles from a polygon: error, triangles, end.

    Args:
        text: Bytes of the file.
        at: Start of the corners.
        totals: Numbers of vertices and texture coordinates in the file.
        latest: Numbers of them before this line.
        fan: Output.
    """
    corners = 0
    first = last = (0, 0)
    at = _skip_blanks(text, at)
    while text[at] != _NEWLINE:
        error, vertex, texture, at = _corner(text, at, totals, latest)
        if error:
            return error, 0, at
        if corners and (texture < 0) != (first[1] < 0):
            return _MIXED, 0, at
        corner = (vertex, texture)
        if corners == 0:
            first = corner
        if corners >= 2:
            for k in range(2):
                fan[corners - 2, 0, k], fan[corners - 2, 1, k], fan[corners - 2, 2, k] = first[k], last[k], corner[k]
        last = corner
        corners += 1
        at = _skip_blanks(text, at)
    return (0 if corners >= 3 else _TOO_FEW), max(corners - 2, 0), at


@compiled
def _parse(text: np.ndarray, vertices: np.ndarray, texture: np.ndarray, corners: np.ndarray) -> tuple[int, int, int]:
    """Fill the arrays: error (0: none), its line, number of triangles."""
    at, line, error = 0, 0, 0
    totals, latest, f = np.array([len(vertices), len(texture)]), np.array([0, 0]), 0
    while at < len(text):
        line += 1
        kind, at = _kind(text, at)
        if kind == _V:
            error, at = _numbers(text, at, vertices[latest[0]])
            latest[0] += 1
        elif kind == _T:
            error, at = _numbers(text, at, texture[latest[1]])
            latest[1] += 1
        elif kind == _F:
            error, added, at = _fan(text, at, totals, latest, corners[f:])
            f += added
        if error:
            return error, line, f
        at = _skip_line(text, at)
    return 0, 0, f
