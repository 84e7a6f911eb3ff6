"""MATLAB 5 files: arrays as scipy writes them, and damaged files."""

import io

import numpy as np
import pytest
from scipy.io import savemat

from aubench.datasets.disfa.matlab_arrays import read_matlab_arrays

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
