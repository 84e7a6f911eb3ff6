"""AU occurrence codes: the label CSVs of BP4D and BP4D+ (``AU_OCC/F001_T1.csv``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from aubench._util.zip_files import COPY_AGAIN
from aubench.core.errors import DataError
from aubench.datasets.label_text import read_lines

AUS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 27, 28)
"""AUs of both kinds of header."""

_INTENSITY_SUFFIX = 100
_MIN_NAMED = 50
_LABELS = {0: 0, 1: 1, 9: -1}
_NUMBER = re.compile(r" *(?!-0)-?[0-9]{1,10} *")
_ROW = re.compile(f"{_NUMBER.pattern}(,{_NUMBER.pattern})*")
_AU = re.compile(r"(AU)? *0*([1-9][0-9]?)", re.IGNORECASE | re.ASCII)


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
    lines = read_lines(path)
    if len(lines) < 2:
        raise DataError("holds no coded frame", where=path, hint=COPY_AGAIN)
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
        raise DataError(f"frame {frames[row]} is coded a second time", where=f"{path}:{row + 2}", hint=COPY_AGAIN)
    return LabelFile(frames[order], labels[order])


def coded_frames(path: Path | None, *, allow_gaps: bool) -> np.ndarray:
    """Return the frame numbers of a label file, (N,), ascending; none without a file.

    Raises:
        DataError: The file is damaged, or leaves out frames and ``allow_gaps`` is false.
    """
    frames = read_label_file(path).frames if path else np.empty(0, np.int32)
    gaps = [] if allow_gaps else number_gaps(frames.tolist())
    if gaps:
        what = f"has no row for frame {gaps[0]}" + (f" and {len(gaps) - 1} other ranges" if gaps[1:] else "")
        raise DataError(what, where=path, hint=f"{COPY_AGAIN}, or accept it with --allow-gaps")
    return frames


def number_gaps(numbers: Sequence[int]) -> list[str]:
    """Describe the numbers that ascending numbers leave out, such as ``7`` or ``9 to 12``."""
    gaps = [(before + 1, after - 1) for before, after in pairwise(numbers) if after > before + 1]
    return [str(first) if first == last else f"{first} to {last}" for first, last in gaps]


def _columns(header: str, path: Path) -> tuple[int, dict[int, int]]:
    """Return the number of columns, and the column of each AU."""
    names = [cell.strip().strip('"') for cell in header.split(",")]
    aus = [int(name[2]) if (name := _AU.fullmatch(cell)) else None for cell in names[1:]]
    is_numbered = len(names) >= _MIN_NAMED
    if None in aus or not set(aus) & set(AUS):
        raise DataError("the header is not a list of AU numbers", where=f"{path}:1", hint=COPY_AGAIN)
    if (is_numbered and aus != list(range(1, _INTENSITY_SUFFIX))) or len(set(aus)) < len(aus):
        what = f"the header has {len(names)} columns, neither 0 to 99 nor a list of AU numbers"
        raise DataError(what, where=f"{path}:1", hint=COPY_AGAIN)
    return len(names), {au: column for column, au in enumerate(aus, start=1) if au is not None}


def _row(line: str, width: int, where: str) -> list[int]:
    cells = line.split(",")
    if len(cells) != width:
        raise DataError(f"the row has {len(cells)} columns, the header {width}", where=where, hint=COPY_AGAIN)
    if not _ROW.fullmatch(line):
        column = next(i for i, cell in enumerate(cells) if not _NUMBER.fullmatch(cell))
        cell = cells[column].strip()
        what = f"{cell!r} is not a whole number"
        if len(cell) > 10:
            what = f"{cell[:10]!r}… has {len(cell)} characters, too many for a whole number"
        raise DataError(what, where=f"{where}:{column + 1}", hint=COPY_AGAIN)
    numbers = list(map(int, cells))
    if not 0 <= numbers[0] < 2**31:
        raise DataError(f"{numbers[0]} is not a frame number", where=f"{where}:1", hint=COPY_AGAIN)
    return numbers


def _label(code: int, where: str) -> int:
    if code not in _LABELS:
        raise DataError(f"{code} is not a code (0, 1 or 9)", where=where, hint=COPY_AGAIN)
    return _LABELS[code]
