"""Numeric arrays and structures of MATLAB 5 files. scipy's reader ends the process for some damaged files."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_HEADER, _LARGEST = 128, 1 << 26
_MOST = 1 << 24  # values of all arrays, of which a small file may hold any number in compressed form
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _NUMERIC = 2, range(6, 16)  # classes of arrays: structure, and double to uint64
_COMPLEX = 0x800


class _Element(NamedTuple):
    kind: int
    content: bytes


class _Matrix(NamedTuple):
    order: str  # of bytes
    kind: int  # class of the array
    is_complex: bool
    shape: list[int]
    name: bytes
    elements: list[_Element]  # after the header


def read_matlab_arrays(content: bytes) -> list[np.ndarray]:
    """Return the real numeric arrays of a MATLAB 5 file, float64.

    Raises:
        ValueError: The file is damaged, or of another format.
    """
    arrays, left = [], _MOST
    for matrix in _matrices(content):
        if (array := _numbers(matrix, left)) is not None:
            arrays.append(array)
            left -= array.size
    return arrays


def read_matlab_struct(content: bytes, name: str) -> list[dict[str, np.ndarray | None]]:
    """Return the elements of the structure array ``name`` of a MATLAB 5 file, in order of memory.

    Returns:
        Real numeric arrays, float64, by field; None for fields of other kinds.

    Raises:
        ValueError: The file is damaged or of another format, or has no such structure.
    """
    for matrix in _matrices(content):
        if matrix.kind == _STRUCT and matrix.name == name.encode():
            return _records(matrix)
    raise ValueError(f"no structure '{name}'")


def _matrices(content: bytes) -> Iterator[_Matrix]:
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEADER])
    if order is None:
        raise ValueError("not a MATLAB 5 file")
    for element in _elements(content[_HEADER:], order):
        inner = [element]
        if element.kind == _COMPRESSED:
            inner = list(_elements(_decompress(element.content), order))
        yield from (_matrix(matrix.content, order) for matrix in inner if matrix.kind == _MATRIX)


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


def _matrix(content: bytes, order: str) -> _Matrix:
    elements = list(_elements(content, order))
    if len(elements) < 3 or len(elements[0].content) < 4 or len(elements[1].content) % 4:
        raise ValueError("an array without a header")
    (flags,) = struct.unpack_from(f"{order}I", elements[0].content)
    shape = np.frombuffer(elements[1].content, f"{order}i4").tolist()
    return _Matrix(order, flags & 0xFF, bool(flags & _COMPLEX), shape, elements[2].content, elements[3:])


def _numbers(matrix: _Matrix, most: int = _MOST) -> np.ndarray | None:
    """Return the array of a matrix of at most some values, None unless it is real and numeric."""
    if matrix.kind not in _NUMERIC or matrix.is_complex:
        return None
    if len(matrix.elements) != 1 or matrix.elements[0].kind not in _TYPES:
        raise ValueError("an array without values")
    (values,) = matrix.elements
    kind = np.dtype(f"{matrix.order}{_TYPES[values.kind]}")
    if min(matrix.shape, default=-1) < 0 or math.prod(matrix.shape) * kind.itemsize != len(values.content):
        raise ValueError("an array of another size than its values")
    if math.prod(matrix.shape) > most:
        raise ValueError(f"arrays of more than {_MOST} numbers")
    return np.frombuffer(values.content, kind).astype(np.float64).reshape(matrix.shape, order="F")


def _records(matrix: _Matrix) -> list[dict[str, np.ndarray | None]]:
    """Return the fields of each element of a structure."""
    if len(matrix.elements) < 2 or len(matrix.elements[0].content) != 4:
        raise ValueError("a structure without names of fields")
    length, *_ = struct.unpack_from(f"{matrix.order}i", matrix.elements[0].content)
    text, fields = matrix.elements[1].content, matrix.elements[2:]
    if length <= 0 or len(text) % length:
        raise ValueError("a structure without names of fields")
    names = [text[i : i + length].partition(b"\0")[0].decode("ascii") for i in range(0, len(text), length)]
    if len(set(names)) < len(names) or min(matrix.shape, default=-1) < 0:
        raise ValueError("a structure with a field twice, or without a size")
    if len(fields) != math.prod(matrix.shape) * len(names) or any(field.kind != _MATRIX for field in fields):
        raise ValueError("a structure with another number of fields than its size")
    values = [_numbers(_matrix(field.content, matrix.order)) if field.content else None for field in fields]
    return [dict(zip(names, values[i : i + len(names)], strict=True)) for i in range(0, len(values), len(names))]
