"""Numeric arrays of MATLAB 5 files. scipy's reader ends the process for some damaged files."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_HEADER, _LARGEST = 128, 1 << 20
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC = range(6, 16)  # classes of arrays: double to uint64
_COMPLEX = 0x800


class _Element(NamedTuple):
    kind: int
    content: bytes


def read_matlab_arrays(content: bytes) -> list[np.ndarray]:
    """Return the real numeric arrays of a MATLAB 5 file, float64.

    Raises:
        ValueError: The file is damaged, or of another format.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEADER])
    if order is None:
        raise ValueError("not a MATLAB 5 file")
    arrays = []
    for element in _elements(content[_HEADER:], order):
        inner = [element]
        if element.kind == _COMPRESSED:
            inner = list(_elements(_decompress(element.content), order))
        arrays += [_array(matrix.content, order) for matrix in inner if matrix.kind == _MATRIX]
    return [array for array in arrays if array is not None]


def _elements(content: bytes, order: str) -> Iterator[_Element]:
    at = 0
    while at < len(content):
        if at + 8 > len(content):
            raise ValueError("cut short")
        kind, size = struct.unpack_from(f"{order}II", content, at)
        start, end = at + 8, at + 8 + size + (0 if kind == _COMPRESSED else -size % 8)
        if kind >> 16:  # up to four bytes in the header itself
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if start + size > min(end, len(content)):
            raise ValueError("cut short")
        yield _Element(kind, content[start : start + size])
        at = end


def _decompress(content: bytes) -> bytes:
    decoder = zlib.decompressobj()
    try:
        plain = decoder.decompress(content, _LARGEST)
    except zlib.error:
        raise ValueError("compressed data are damaged") from None
    if not decoder.eof:
        raise ValueError("compressed data are cut short or too large")
    return plain


def _array(content: bytes, order: str) -> np.ndarray | None:
    """Return the array of a matrix element, None unless it is real and numeric."""
    elements = list(_elements(content, order))
    if len(elements) < 3 or len(elements[0].content) < 4:
        raise ValueError("an array without a header")
    (flags,) = struct.unpack_from(f"{order}I", elements[0].content)
    if flags & 0xFF not in _NUMERIC or flags & _COMPLEX:
        return None
    if len(elements) != 4 or elements[3].kind not in _TYPES or len(elements[1].content) % 4:
        raise ValueError("an array without values")
    shape = np.frombuffer(elements[1].content, f"{order}i4").tolist()
    kind = np.dtype(f"{order}{_TYPES[elements[3].kind]}")
    if min(shape, default=-1) < 0 or math.prod(shape) * kind.itemsize != len(elements[3].content):
        raise ValueError("an array of another size than its values")
    return np.frombuffer(elements[3].content, kind).astype(np.float64).reshape(shape, order="F")
