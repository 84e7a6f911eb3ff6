"""NumPy files that are written row by row, so that the array never has to be in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

import numpy as np

from aubench.core.errors import DataError


class ArrayFile:
    """An ``.npy`` file of known shape, whose rows are assigned in order: ``array[0] = …``, ``array[1] = …``.

    Args:
        file: File to write to.
        shape: Shape of the array.
        dtype: Type of its values.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype = shape, dtype
        self._file, self._digest, self._rows = file, hashlib.sha256(), 0
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self, header)

    def __len__(self) -> int:
        return self.shape[0]

    def __setitem__(self, row: int, values: np.ndarray) -> None:
        if row != self._rows or values.shape != self.shape[1:]:
            raise ValueError(f"row {row} of shape {values.shape} is not row {self._rows} of {self.shape}")
        self.write(np.ascontiguousarray(values, self.dtype).tobytes())
        self._rows += 1

    def write(self, content: bytes) -> None:
        """Append bytes."""
        self._digest.update(content)
        self._file.write(content)

    def digest(self) -> str:
        """Return the SHA-256 of the file, in which all rows are."""
        if self._rows != len(self):
            raise ValueError(f"{self._rows} of {len(self)} rows are written")
        return self._digest.hexdigest()


def check_array(path: Path, dtype: str, shape: tuple[int, ...], *, hint: str) -> None:
    """Compare type and shape of an ``.npy`` file with the expected ones.

    Raises:
        DataError: They differ, or the file cannot be read.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot be read ({error})", where=path, hint=hint) from None
    if (str(array.dtype), array.shape) != (dtype, shape):
        raise DataError(f"holds {array.dtype} {array.shape}, not {dtype} {shape}", where=path, hint=hint)
