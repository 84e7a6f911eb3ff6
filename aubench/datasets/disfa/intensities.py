"""AU intensities: the label files of DISFA (``SN001_au1.txt``) and of DISFA+ (``AU1.txt``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aubench._util.zip_files import COPY_AGAIN
from aubench.core.errors import DataError
from aubench.datasets.label_text import read_lines

AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
"""AUs that both data sets code."""

SUBJECTS = (
    *(f"SN{number:03}" for number in range(1, 14)),
    *("SN016", "SN017", "SN018", "SN021"),
    *(f"SN{number:03}" for number in range(23, 33)),
)
"""The 27 subjects of DISFA. Nine of them are those of DISFA+."""

PLUS_SUBJECTS = ("SN001", "SN003", "SN004", "SN007", "SN009", "SN010", "SN013", "SN025", "SN027")
"""The nine subjects of DISFA+."""

SUBJECT_NAME = re.compile(r"SN\d{3}", re.IGNORECASE | re.ASCII)
"""Name of the folder of a subject."""

_HIGHEST = 5
_HEADER_LINES = 2
_ROW = re.compile(r"[ \t]*([0-9]{1,9})[ \t]*,[ \t]*([0-9]{1,9})[ \t]*")
_IMAGE_ROW = re.compile(r"[ \t]*(\S+)[ \t]+([0-9]{1,9})[ \t]*")
_IMAGE = re.compile(r"(?:.*[^0-9])?([0-9]{1,9})\.jpe?g", re.IGNORECASE)


class FrameIntensities(NamedTuple):
    """Intensities of consecutive frames."""

    first: int  # number of the first frame, 0 or 1
    values: np.ndarray  # int8, 0 to 5: (N,) of one AU, or (N, A) of all


def read_intensities(path: Path) -> FrameIntensities:
    """Read a label file of DISFA: one line ``frame,intensity`` for each frame of the video.

    Raises:
        DataError: A line is not two whole numbers, an intensity is above 5, a frame occurs twice or is left out, or
            frames count neither from 0 nor from 1. The message names file and line.
    """
    values: list[int] = []
    first = 0
    for number, line in enumerate(read_lines(path), 1):
        row = _ROW.fullmatch(line)
        if row is None:
            what = f"{_shown(line)} is not a frame and an intensity"
            raise DataError(what, where=f"{path}:{number}", hint=COPY_AGAIN)
        frame, intensity = int(row[1]), int(row[2])
        if not values:
            first = frame
        expected = first + len(values)
        if first > 1:
            what = f"begins with frame {first}, and frames count from 1 or from 0"
            raise DataError(what, where=f"{path}:{number}", hint=COPY_AGAIN)
        if frame != expected:
            what = (
                f"frame {frame} is coded a second time"
                if first <= frame < expected
                else (f"frame {frame} follows frame {expected - 1}")
            )
            raise DataError(what, where=f"{path}:{number}", hint=COPY_AGAIN)
        values.append(_intensity(intensity, f"{path}:{number}"))
    return FrameIntensities(first, np.array(values, np.int8))


def read_all_intensities(files: Mapping[int, Path]) -> FrameIntensities:
    """Read the files of all AUs of a video.

    Args:
        files: Label file by AU, for each of :data:`AUS`.

    Returns:
        Values (N, 12) in the order of :data:`AUS`.

    Raises:
        DataError: A file is damaged, or the files code different frames.
    """
    columns = [read_intensities(files[au]) for au in AUS]
    first = columns[0]
    for au, column in zip(AUS, columns, strict=True):
        if (column.first, len(column.values)) != (first.first, len(first.values)):
            what = f"codes the frames {_range(column)}, {files[AUS[0]].name} codes {_range(first)}"
            raise DataError(what, where=files[au], hint="copy both files from the delivery again")
    return FrameIntensities(first.first, np.stack([column.values for column in columns], axis=1))


def read_image_intensities(path: Path) -> dict[int, int]:
    """Read a label file of DISFA+: two lines of header, then an image's name and its intensity on each line.

    Returns:
        Intensity by the number in the name of the image.

    Raises:
        DataError: A line is something else, an intensity is above 5, or an image occurs twice. The message names file
            and line.
    """
    lines = read_lines(path)
    values: dict[int, int] = {}
    for line_number, line in enumerate(lines, 1):
        where = f"{path}:{line_number}"
        row = _IMAGE_ROW.fullmatch(line)
        image = image_number(row[1]) if row else None
        if line_number <= _HEADER_LINES:
            if image is not None:
                raise DataError("is a label, but the first two lines must be a header", where=where, hint=COPY_AGAIN)
            continue
        if row is None or image is None:
            raise DataError(f"{_shown(line)} is not an image and an intensity", where=where, hint=COPY_AGAIN)
        if image in values:
            raise DataError(f"image {row[1]} is coded a second time", where=where, hint=COPY_AGAIN)
        values[image] = _intensity(int(row[2]), where)
    if not values:
        raise DataError("holds no coded image", where=path, hint=COPY_AGAIN)
    return values


def image_number(name: str) -> int | None:
    """Return the number at the end of an image's name, None without a number or for another kind of file."""
    image = _IMAGE.fullmatch(name)
    return int(image[1]) if image else None


def _intensity(value: int, where: str) -> int:
    if value > _HIGHEST:
        raise DataError(f"{value} is not an intensity (0 to {_HIGHEST})", where=where, hint=COPY_AGAIN)
    return value


def _shown(line: str) -> str:
    return repr(line[:40]) + "…" * (len(line) > 40)


def _range(column: FrameIntensities) -> str:
    return f"{column.first} to {column.first + len(column.values) - 1}"
