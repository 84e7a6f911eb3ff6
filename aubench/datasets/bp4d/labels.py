"""AU occurrence codes: the label CSVs of BP4D and BP4D+ (``AU_OCC/F001_T1.csv``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aubench.core.errors import DataError

AUS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 27, 28)
"""AUs of both kinds of header."""

_INTENSITY_SUFFIX = 100
_MIN_NAMED = 50
_LARGEST = 16 << 20
_LABELS = {0: 0, 1: 1, 9: -1}
_AGAIN = "copy the file from the delivery again"


@dataclass(frozen=True)
class LabelFile:
    """Content of a label CSV."""

    frames: np.ndarray  # (N,) ascending frame numbers as written
    labels: np.ndarray  # (N, len(AUS)) int8: 1 present, 0 absent, -1 unknown (code 9, or an AU without a column)


def read_label_file(path: Path) -> LabelFile:
    """Read one label CSV.

    Two headers exist: ``0,1,...,99``, where column k is AU k, and a list of AU numbers after a first cell for the
    frame. That cell may itself be ``1``, so columns are read by position.

    Raises:
        DataError: A cell is not a code, a row has another length (as at the end of a truncated file), or a frame
            occurs twice. The message names file, line and column.
    """
    lines = _lines(path)
    width, columns = _columns(lines[0], path)
    used = [(AUS.index(au), column) for au, column in columns.items() if au in AUS]
    frames = np.empty(len(lines) - 1, np.int32)
    labels = np.full((len(lines) - 1, len(AUS)), -1, np.int8)
    for i, line in enumerate(lines[1:]):
        cells = _row(line, width, f"{path}:{i + 2}")
        frames[i] = cells[0]
        for index, column in used:
            labels[i, index] = _label(cells[column], f"{path}:{i + 2}:{column + 1}")
    order = np.argsort(frames, kind="stable")
    duplicates = np.flatnonzero(np.diff(frames[order]) == 0)
    if len(duplicates):
        row = int(order[duplicates[0] + 1])
        raise DataError(f"frame {frames[row]} is coded a second time", where=f"{path}:{row + 2}", hint=_AGAIN)
    return LabelFile(frames[order], labels[order])


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError("is too large for a label file", where=path, hint=_AGAIN)
        lines = path.read_bytes().decode("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, hint=_AGAIN) from None
    except UnicodeDecodeError:
        raise DataError("is not text", where=path, hint=_AGAIN) from None
    if len(lines) < 2:
        raise DataError("holds no coded frame", where=path, hint=_AGAIN)
    return lines


def _columns(header: str, path: Path) -> tuple[int, dict[int, int]]:
    """Return the number of columns, and the column of each AU."""
    names = [cell.strip().strip('"').upper().removeprefix("AU") for cell in header.split(",")]
    try:
        aus = [int(name) for name in names[1:]]
    except ValueError:
        raise DataError("the header is not a list of AU numbers", where=f"{path}:1", hint=_AGAIN) from None
    is_numbered = len(names) >= _MIN_NAMED
    if (is_numbered and aus != list(range(1, _INTENSITY_SUFFIX))) or not aus or len(set(aus)) < len(aus):
        what = f"the header has {len(names)} columns, neither 0 to 99 nor a list of AU numbers"
        raise DataError(what, where=f"{path}:1", hint=_AGAIN)
    return len(names), {au: column for column, au in enumerate(aus, start=1)}


def _row(line: str, width: int, where: str) -> list[int]:
    cells = line.split(",")
    if len(cells) != width:
        raise DataError(f"the row has {len(cells)} columns, the header {width}", where=where, hint=_AGAIN)
    try:
        numbers = list(map(int, cells))
    except ValueError:
        column = next(i for i, cell in enumerate(cells) if not cell.strip().lstrip("-").isdecimal())
        what = f"{cells[column].strip()!r} is not a whole number"
        raise DataError(what, where=f"{where}:{column + 1}", hint=_AGAIN) from None
    if not 0 <= numbers[0] < 2**31:
        raise DataError(f"{numbers[0]} is not a frame number", where=f"{where}:1", hint=_AGAIN)
    return numbers


def _label(code: int, where: str) -> int:
    if code not in _LABELS:
        raise DataError(f"{code} is not a code (0, 1 or 9)", where=where, hint=_AGAIN)
    return _LABELS[code]
