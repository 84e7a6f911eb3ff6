"""Compiled parser of the bytes of a Wavefront OBJ file.

Lines of the usual form are parsed by :func:`_decimal_lines` and :func:`_triangle_lines`. :func:`_numbers` and
:func:`_fan` parse all other lines, and find out which damage a line has. Both former functions call no function with an
array, since Numba counts a reference at each such call, which took five sixths of the time.
"""

from __future__ import annotations

import numpy as np

from aubench._util.jit import compiled

NEWLINE, _SPACE, _RETURN, _TAB, _SLASH = (ord(c) for c in "\n \r\t/")
_V, _T, _F, _ZERO, _NINE, _PLUS, _MINUS, _POINT, _E, _BIG_E = (ord(c) for c in "vtf09+-.eE")

ANY = 2**31 - 1
"""Number of vertices or texture coordinates while it is unknown."""

_FARTHEST = 1e9  # squares of larger numbers overflow
_EXACT_DIGITS = 15  # fit into a float, and so does their power of ten
_POWERS = 10.0 ** np.arange(_EXACT_DIGITS + 1)

_NOT_A_NUMBER, _TOO_FEW, _NO_SUCH_VERTEX, _NO_SUCH_TEXTURE, _MIXED, _TOO_LARGE = range(1, 7)
ERRORS = {
    _NOT_A_NUMBER: "has something that is not a finite number",
    _TOO_FEW: "has too few numbers",
    _NO_SUCH_VERTEX: "names a vertex that the file does not hold",
    _NO_SUCH_TEXTURE: "names a texture coordinate that the file does not hold",
    _MIXED: "has corners with and without texture coordinates",
    _TOO_LARGE: "has a number beyond a thousand million",
}
"""Damages of a line, by the error of :func:`parse`."""


@compiled
def _skip_line(text: np.ndarray, at: int) -> int:
    while text[at] != NEWLINE:
        at += 1
    return at + 1


@compiled
def _is_blank(byte: int) -> bool:
    # A membership test takes half of the reading time.
    return byte == _SPACE or byte == _TAB or byte == _RETURN  # noqa: PLR1714


@compiled
def _is_end(byte: int) -> bool:
    return byte == NEWLINE or _is_blank(byte)


@compiled
def _skip_blanks(text: np.ndarray, at: int) -> int:
    while _is_blank(text[at]):
        at += 1
    return at


@compiled
def _kind(text: np.ndarray, at: int) -> tuple[int, int]:
    """Return the kind of a line (``v``, ``t`` for vt, ``f``, or 0) and the start of its numbers."""
    first = text[at]
    if first == NEWLINE:
        return 0, at
    second = text[at + 1]
    if first in (_V, _F) and second in (_SPACE, _TAB):
        return first, at + 2
    if first == _V and second == _T and text[at + 2] in (_SPACE, _TAB):
        return _T, at + 3
    return 0, at


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
    ended = _is_end(text[at])
    value = value / 10.0**-power if power < 0 else value * 10.0**power
    return digits > 0 and ended and np.isfinite(value), -value if negative else value, at


@compiled
def _decimal_lines(text: np.ndarray, at: int, rows: np.ndarray, n: int) -> tuple[int, int]:
    """Fill rows from consecutive ``v`` or ``vt`` lines of decimals with few digits and without an exponent.

    Returns:
        Number of these lines, and the start of the first other line.
    """
    columns = rows.shape[1]
    prefix, lines = 5 - columns, 0  # "v " has three numbers, "vt " two
    while (
        at < len(text) and text[at] == _V and (columns == 3 or text[at + 1] == _T) and text[at + prefix - 1] == _SPACE
    ):
        line, at = at, at + prefix
        for i in range(columns):
            while text[at] == _SPACE:
                at += 1
            negative = text[at] == _MINUS
            at += negative
            value, start, places = 0, at, 0
            digit = text[at] - _ZERO
            while 0 <= digit <= 9:
                value, at = value * 10 + digit, at + 1
                digit = text[at] - _ZERO
            digits = at - start
            if text[at] == _POINT:
                at += 1
                start, digit = at, text[at] - _ZERO
                while 0 <= digit <= 9:
                    value, at = value * 10 + digit, at + 1
                    digit = text[at] - _ZERO
                places = at - start
            if digits > 9 or digits + places > _EXACT_DIGITS or digits + places == 0 or not _is_end(text[at]):
                return lines, line
            rows[n + lines, i] = (-value if negative else value) / _POWERS[places]
        while text[at] != NEWLINE:
            at += 1
        at, lines = at + 1, lines + 1
    return lines, at


@compiled
def _triangle_lines(
    text: np.ndarray, at: int, triangles: np.ndarray, texture_triangles: np.ndarray, n: int
) -> tuple[int, int]:
    """Fill triangles from consecutive ``f`` lines with three corners ``v/vt`` of positive numbers.

    Returns:
        Number of these lines, and the start of the first other line.
    """
    lines = 0
    while at < len(text) and text[at] == _F and text[at + 1] == _SPACE:
        line, at = at, at + 2
        for i in range(6):
            while text[at] == _SPACE and i % 2 == 0:
                at += 1
            value, start = 0, at
            digit = text[at] - _ZERO
            while 0 <= digit <= 9:
                value, at = value * 10 + digit, at + 1
                digit = text[at] - _ZERO
            separated = _is_end(text[at]) if i % 2 else text[at] == _SLASH
            if value == 0 or at - start > 9 or not separated:
                return lines, line
            if i % 2:
                texture_triangles[n + lines, i // 2] = value - 1
            else:
                triangles[n + lines, i // 2] = value - 1
                at += 1  # after the slash
        while _is_blank(text[at]):
            at += 1
        if text[at] != NEWLINE:
            return lines, line
        at, lines = at + 1, lines + 1
    return lines, at


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
    return (0 if _is_end(text[at]) else _NOT_A_NUMBER), vertex, texture, at


@compiled
def _numbers(text: np.ndarray, at: int, row: np.ndarray) -> tuple[int, int]:
    """Fill a row with decimals: error, end."""
    for i in range(len(row)):
        at = _skip_blanks(text, at)
        if text[at] == NEWLINE:
            return _TOO_FEW, at
        valid, value, end = _decimal(text, at)
        if not valid:
            return _NOT_A_NUMBER, at
        if abs(value) > _FARTHEST:
            return _TOO_LARGE, at
        row[i], at = value, end
    return 0, at


@compiled
def _fan(
    text: np.ndarray,
    at: int,
    totals: np.ndarray,
    latest: np.ndarray,
    triangles: np.ndarray,
    texture_triangles: np.ndarray,
    n: int,
) -> tuple[int, int, int]:
    """Fill triangles from a polygon: error, number of all triangles, end.

    Args:
        text: Bytes of the file.
        at: Start of the corners.
        totals: Numbers of vertices and texture coordinates in the file.
        latest: Numbers of them before this line.
        triangles: Output.
        texture_triangles: Output.
        n: Number of triangles before this line.
    """
    count, first_v, first_t, last_v, last_t = 0, 0, 0, 0, 0
    at = _skip_blanks(text, at)
    while text[at] != NEWLINE:
        error, v, t, at = _corner(text, at, totals, latest)
        if error:
            return error, n, at
        if count == 0:
            first_v, first_t = v, t
        elif (t < 0) != (first_t < 0):
            return _MIXED, n, at
        if count >= 2:
            triangles[n, 0], triangles[n, 1], triangles[n, 2] = first_v, last_v, v
            texture_triangles[n, 0], texture_triangles[n, 1], texture_triangles[n, 2] = first_t, last_t, t
            n += 1
        last_v, last_t = v, t
        count += 1
        at = _skip_blanks(text, at)
    return (0 if count >= 3 else _TOO_FEW), n, at


@compiled
def parse(
    text: np.ndarray,
    vertices: np.ndarray,
    texture: np.ndarray,
    triangles: np.ndarray,
    texture_triangles: np.ndarray,
    counts: np.ndarray,
    totals: np.ndarray,
) -> tuple[int, int]:
    """Parse a file: error (0: none) and its line.

    Args:
        text: Bytes of the file and a final newline, which prevents reads past the end.
        vertices: Output (V, 3), as long as any such file needs.
        texture: Output (T, 2), likewise.
        triangles: Output (N, 3), likewise: rows of ``vertices``.
        texture_triangles: Output (N, 3), likewise: rows of ``texture``.
        counts: Output: numbers of vertices, texture coordinates and triangles.
        totals: Numbers of vertices and texture coordinates in the file, or :data:`ANY`.
    """
    at, line = 0, 0
    while at < len(text):
        kind, numbers = _kind(text, at)
        lines, count = 0, 0
        if kind == _V:
            lines, at = _decimal_lines(text, at, vertices, counts[0])
        elif kind == _T:
            count = 1
            lines, at = _decimal_lines(text, at, texture, counts[1])
        elif kind == _F and totals[0] == ANY:
            count = 2
            lines, at = _triangle_lines(text, at, triangles, texture_triangles, counts[2])
        counts[count] += lines
        line += lines
        if lines:
            continue
        line, error = line + 1, 0
        if kind == _V:
            error, numbers = _numbers(text, numbers, vertices[counts[0]])
            counts[0] += 1
        elif kind == _T:
            error, numbers = _numbers(text, numbers, texture[counts[1]])
            counts[1] += 1
        elif kind == _F:
            error, counts[2], numbers = _fan(text, numbers, totals, counts, triangles, texture_triangles, counts[2])
        if error:
            return error, line
        at = _skip_line(text, numbers)
    return 0, 0
