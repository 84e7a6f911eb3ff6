"""Folder layout of a BP4D delivery: photos, meshes and the label file of each sequence.

The expected layout is ``Sequences(2D+3D)/F001/T1/0000.jpg`` with a mesh ``0000.obj`` in the same folder and labels
in ``AUCoding/AU_OCC/F001_T1.csv``. Copies differ in folder names, depth, digits of file names, and in whether files
are numbered from 0 or by the frame numbers of the label file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from aubench.core.errors import DataError

SCORED = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
"""The 12 AUs on which BP4D is scored."""

Offset = Literal["auto"] | int

_SUBJECT = re.compile(r"[FM]\d{3}", re.IGNORECASE)
_TASK = re.compile(r"T(\d+)", re.IGNORECASE)
_CODED = re.compile(r"([FM]\d{3})[_-]T(\d+)", re.IGNORECASE)
_OCCURRENCE = re.compile(r"AU_?OCC", re.IGNORECASE)
_CODING = re.compile(r"AU_?Coding|AU_?OCC", re.IGNORECASE)
_PHOTOS = {".jpg", ".jpeg"}
_MESH = ".obj"
_DEEP = 3
_LAYOUT = "expected Sequences(2D+3D)/F001/T1/0000.jpg and AUCoding/AU_OCC/F001_T1.csv in it"


@dataclass(frozen=True)
class Recording:
    """Files of one subject performing one task."""

    subject: str  # name such as F001
    sequence: str  # name such as T1
    photos: dict[int, Path]  # photo files by the number in their name
    meshes: dict[int, Path]  # mesh files by the number in their name
    label_file: Path | None  # label file, if there is one
    unnumbered_files: tuple[str, ...] = ()  # names of photos and meshes that are not a number


@dataclass(frozen=True)
class Instant:
    """A photo with its frame number and mesh."""

    frame: int  # number in the label file
    photo: Path  # path of the photo
    mesh: Path | None  # path of the mesh, if there is one


def find_recordings(source: Path) -> list[Recording]:
    """Find all sequences in a folder, and label files without a sequence.

    Args:
        source: Folder of the delivery, its parent, or its folder of sequences.

    Returns:
        Recordings in order of subject and task. A label file without a sequence yields one without photos.

    Raises:
        DataError: The folder does not exist, holds no sequence or no label file, or holds one of them twice.
    """
    if not source.is_dir():
        raise DataError("no such folder", where=source, hint=_LAYOUT)
    folders = _task_folders(source)
    label_files = _label_files(source)
    if not folders:
        raise DataError("no folder of a sequence in it", where=source, hint=_LAYOUT)
    if not label_files:
        raise DataError("no label file in it", where=source, hint=_LAYOUT)
    return [
        _recording(key, folders.get(key), label_files.get(key)) for key in sorted(folders.keys() | label_files.keys())
    ]


def choose_offset(recording: Recording, requested: Offset) -> tuple[int, str]:
    """Return photo number minus frame number of the label file, and the reason for this choice."""
    if requested != "auto":
        return requested, "as asked for"
    if 0 in recording.photos or 0 in recording.meshes:
        return -1, "files count from 0, label files from 1"
    return 0, "no file is numbered 0"


def match(recording: Recording, coded: np.ndarray, offset: int) -> tuple[list[Instant], list[int]]:
    """Match photos, meshes and label rows.

    Args:
        recording: Files of the recording.
        coded: Frame numbers of the label file.
        offset: Photo number minus frame number.

    Returns:
        Instants in order of time, and coded frames without a photo.
    """
    instants = [
        Instant(number - offset, photo, recording.meshes.get(number))
        for number, photo in sorted(recording.photos.items())
    ]
    return instants, sorted(set(coded.tolist()).difference(instant.frame for instant in instants))


Key = tuple[str, int]


def _task_folders(source: Path) -> dict[Key, Path]:
    tasks: dict[Key, Path] = {}
    for subject in _shallowest(source, _SUBJECT):
        for folder in _folders(subject):
            task = _TASK.fullmatch(folder.name)
            if task is None or not _has_images(folder):  # folders of other sensors have the same names
                continue
            key = (subject.name.upper(), int(task[1]))
            if key in tasks:
                raise DataError(f"{key[0]} T{key[1]} is also in {tasks[key]}", where=folder, hint="keep one of the two")
            tasks[key] = folder
    return tasks


def _has_images(folder: Path) -> bool:
    return any(file.suffix.lower() in {*_PHOTOS, _MESH} for file in folder.iterdir())


def _label_files(source: Path) -> dict[Key, Path]:
    folders = _shallowest(source, _OCCURRENCE) or _shallowest(source, _CODING)
    if not folders and any(_SUBJECT.fullmatch(folder.name) for folder in _folders(source)):
        # The source is the folder of sequences, whose parent also holds the labels.
        folders = [folder for folder in _folders(source.absolute().parent) if _CODING.fullmatch(folder.name)]
    files: dict[Key, Path] = {}
    for path in sorted(path for folder in folders for path in folder.rglob("*.[cC][sS][vV]")):
        name = _CODED.fullmatch(path.stem)
        if name is None:
            continue
        key = (name[1].upper(), int(name[2]))
        if key in files:
            raise DataError(f"the same sequence is coded in {files[key]}", where=path, hint="keep one of the two")
        files[key] = path
    return files


def _shallowest(source: Path, name: re.Pattern[str]) -> list[Path]:
    """Return the folders of this name on the first of a few levels that has any."""
    level = [source]
    for _ in range(_DEEP):
        level = [folder for parent in level for folder in _folders(parent)]
        named = [folder for folder in level if name.fullmatch(folder.name)]
        if named:
            return named
    return []


def _folders(parent: Path) -> Iterator[Path]:
    try:
        yield from sorted(child for child in parent.iterdir() if child.is_dir() and not child.name.startswith("."))
    except PermissionError:
        raise DataError("may not be read", where=parent, hint="change its permissions") from None


def _recording(key: Key, folder: Path | None, label_file: Path | None) -> Recording:
    photos: dict[int, Path] = {}
    meshes: dict[int, Path] = {}
    unnumbered = []
    for file in sorted(folder.iterdir()) if folder else []:
        kind = photos if file.suffix.lower() in _PHOTOS else meshes if file.suffix.lower() == _MESH else None
        if kind is None or file.name.startswith("."):
            continue
        if not (file.stem.isascii() and file.stem.isdigit()):
            unnumbered.append(file.name)
            continue
        number = int(file.stem)
        if number in kind:
            raise DataError(f"has the same number as {kind[number].name}", where=file, hint="keep one of the two")
        kind[number] = file
    return Recording(key[0], f"T{key[1]}", photos, meshes, label_file, tuple(unnumbered))
