"""MATLAB 5 files: arrays as scipy writes them, and damaged files."""

import io

import numpy as np
import pytest
from scipy.io import savemat

from aubench.datasets.matlab_arrays import read_matlab_arrays, read_matlab_struct

POINTS = np.arange(132).reshape(66, 2) * 1.5


def content(compress: bool = False, **arrays: object) -> bytes:
    file = io.BytesIO()
    savemat(file, arrays, do_compression=compress)
    return file.getvalue()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "i4", "u1"])
def test_an_array_is_read_as_it_was_written(compress, kind) -> None:
    values = POINTS.astype(kind)
    (array,) = read_matlab_arrays(content(compress, pts=values))
    assert array.dtype == np.float64 and np.array_equal(array, values)


def test_text_structures_and_complex_numbers_are_passed_over() -> None:
    arrays = read_matlab_arrays(content(a="text", b={"c": POINTS}, d=POINTS * 1j, e=np.empty((0, 0)), f=POINTS))
    assert [array.shape for array in arrays] == [(0, 0), (66, 2)]


@pytest.mark.parametrize("compress", [False, True])
def test_a_damaged_file_is_refused_at_every_length(compress) -> None:
    whole = content(compress, pts=POINTS)
    for end in range(0, len(whole) - 8, 7):
        with pytest.raises(ValueError, match=r"not a MATLAB 5 file|cut short"):
            read_matlab_arrays(whole[:end])


def test_an_array_of_another_size_than_its_values_is_refused() -> None:
    whole = content(pts=POINTS)
    at = whole.index(np.array([66, 2], "<i4").tobytes())
    for shape in ([67, 2], [-66, -2], [2**30, 2**30]):
        with pytest.raises(ValueError, match="an array of another size than its values"):
            read_matlab_arrays(whole[:at] + np.array(shape, "<i4").tobytes() + whole[at + 8 :])


def test_a_small_file_of_large_arrays_is_refused() -> None:
    many = {f"a{i}": np.zeros((1 << 20, 2), np.uint8) for i in range(9)}
    for arrays in (many, {"a": np.zeros(1 << 25, np.uint8)}):
        small = content(True, **arrays)
        assert len(small) < 80_000
        with pytest.raises(ValueError, match="arrays of more than 16777216 numbers"):
            read_matlab_arrays(small)
    with pytest.raises(ValueError, match="arrays of more than 16777216 numbers"):
        read_matlab_struct(content(True, fit={"frame": arrays["a"]}), "fit")


def fit(frames: int = 3, **more: object) -> np.ndarray:
    names = ("frame", "pts_2d", *more)
    values = np.zeros((1, frames), dtype=[(name, object) for name in names])
    for i in range(frames):
        values[0, i] = (float(i + 1), np.empty((0, 0)) if i == 1 else POINTS + i, *more.values())
    return values


@pytest.mark.parametrize("compress", [False, True])
def test_a_structure_is_read_as_it_was_written(compress) -> None:
    other = {"text": "words", "nested": {"a": POINTS}, "cells": np.array([1, "b"], object)}
    elements = read_matlab_struct(content(compress, other=POINTS, fit=fit(**other)), "fit")
    assert [element["frame"].item() for element in elements] == [1, 2, 3]
    assert np.array_equal(elements[2]["pts_2d"], POINTS + 2) and elements[1]["pts_2d"].size == 0
    assert [elements[0][name] for name in other] == [None, None, None]
    with pytest.raises(ValueError, match="no structure 'pts'"):
        read_matlab_struct(content(compress, pts=POINTS), "pts")


def test_a_structure_without_its_fields_is_refused() -> None:
    whole = content(fit=fit())
    at = whole.index(b"frame\0")
    for damaged, text in (
        (whole.replace(b"pts_2d\0", b"frame\0\0"), "with a field twice"),
        (
            whole.replace(np.array([1, 3], "<i4").tobytes(), np.array([1, 4], "<i4").tobytes()),
            "another number of fields",
        ),
        (whole[: at - 12] + b"\0\0\0\0" + whole[at - 8 :], "without names of fields"),
    ):
        assert damaged != whole
        with pytest.raises(ValueError, match=text):
            read_matlab_struct(damaged, "fit")


@pytest.mark.slow
@pytest.mark.parametrize("compress", [False, True])
def test_damaged_structures_end_in_one_kind_of_error(compress) -> None:
    whole, rng, read = content(compress, fit=fit()), np.random.default_rng(0), 0
    for i in range(5_000):
        damaged = bytearray(whole[: rng.integers(len(whole))] if i % 4 == 0 else whole)
        for position in rng.integers(0, len(damaged), 1 + i % 4) if damaged else ():
            damaged[position] = rng.integers(256)
        try:
            elements = read_matlab_struct(bytes(damaged), "fit")
        except ValueError:
            continue
        read += 1
        assert all(value is None or value.dtype == np.float64 for element in elements for value in element.values())
    assert 0 < read < 5_000
