"""Files of a sequence of BP4D, and their frame numbers.

Files are numbered from 0 or by the frame numbers of the label file.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aubench._util.zip_files import DeliveredFile

SCORED = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
"""The 12 AUs on which BP4D is scored."""


SUBJECTS = frozenset(f"{sex}{number:03}" for sex, last in (("F", 23), ("M", 18)) for number in range(1, last + 1))
"""The 41 subjects of BP4D. People of BP4D+ have the same names, and more."""

Key = tuple[str, int]
"""Subject and number of the task."""


@dataclass(frozen=True)
class Layout:
    """Differences between deliveries."""

    example: str  # names of a photo and a label file
    tasks: Container[int] = range(10000)  # tasks that are read
    reads_zips: bool = False  # whether photos may be in archives such as F001.zip


BP4D_LAYOUT = Layout("Sequences(2D+3D)/F001/T1/0000.jpg and AUCoding/AU_OCC/F001_T1.csv")


@dataclass(frozen=True)
class Recording:
    """Files of one subject performing one task."""

    subject: str  # name such as F001
    sequence: str  # name such as T1
    photos: dict[int, DeliveredFile]  # photo files by the number in their name
    meshes: dict[int, DeliveredFile]  # mesh files by the number in their name
    label_file: Path | None  # label file, if there is one
    unnumbered_files: tuple[str, ...] = ()  # printable names of photos and meshes that are not a number
    materials: frozenset[int] = frozenset()  # numbers of the material files of meshes
    remarks: tuple[str, ...] = ()  # missing and unread files
    offset: int = 0  # photo number minus frame number of the label file
    offset_reason: str = ""

    @property
    def name(self) -> str:
        """Subject and sequence, such as F001/T1."""
        return f"{self.subject}/{self.sequence}"


@dataclass(frozen=True)
class Instant:
    """A photo with its frame number and mesh."""

    frame: int  # number in the label file
    photo: DeliveredFile  # path of the photo
    mesh: DeliveredFile | None  # path of the mesh, if there is one


def match(recording: Recording, coded: np.ndarray) -> tuple[list[Instant], list[int]]:
    """Match photos, meshes and label rows.

    Args:
        recording: Files of the recording.
        coded: Frame numbers of the label file.

    Returns:
        Instants in order of time, and coded frames without a photo.
    """
    instants = [
        Instant(number - recording.offset, photo, recording.meshes.get(number))
        for number, photo in sorted(recording.photos.items())
    ]
    return instants, sorted(set(coded.tolist()).difference(instant.frame for instant in instants))
