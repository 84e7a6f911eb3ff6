"""The BP4D delivery: which folders, photos, meshes and label files make up which sequence.

Expected is ``Sequences(2D+3D)/F001/T1/0000.jpg`` with a mesh ``0000.obj`` beside it and labels in
``AUCoding/AU_OCC/F001_T1.csv``. Copies differ in the folders' names, in how many digits a file name has, in
whether files count from 0 or carry the label file's frame number, and in how deep all this lies.
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
"""The 12 AUs that BP4D is scored on."""

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
    """One person doing one task, as delivered.

    Attributes:
        subject: F001.
        sequence: T1.
        photos: Photo files by the number in their name.
        meshes: Mesh files by the number in their name.
        codes: Its label file, if it has one.
        unnumbered: Names of photos and meshes that are no number.
    """

    subject: str
    sequence: str
    photos: dict[int, Path]
    meshes: dict[int, Path]
    label_files: Path | None
    unnumbered_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Instant:
    """One photo and what belongs to it.

    Attributes:
        frame: The number that a label file gives it.
        photo: The photo file.
        mesh: The mesh file, if there is one.
    """

    frame: int
    photo: Path
    mesh: Path | None


def find_recordings(source: Path) -> list[Recording]:
    """Find every sequence below a folder, and every label file without one.

    Args:
        source: The delivery's folder, one above it, or its folder of sequences.

    Returns:
        In order of subject and task; one that only has labels has no photos.

    Raises:
        DataError: There is no such folder, no sequence or no label file in it, or something is there twice.
    """
    if not source.is_dir():
        raise DataError("no such folder", where=source, hint=_LAYOUT)
    folders = _task_folders(source)
    codes = _label_files(source)
    if not folders:
        raise DataError("no folder of a sequence in it", where=source, hint=_LAYOUT)
    if not codes:
        raise DataError("no label file in it", where=source, hint=_LAYOUT)
    keys = sorted(folders.keys() | codes.keys(), key=lambda key: (key[0], key[1]))
    return [_recording(key, folders.get(key), codes.get(key)) for key in keys]


def choose_offset(recording: Recording, wanted: Offset) -> tuple[int, str]:
    """What to add to a frame number of the label file to get the number in the photo's name, and why."""
    if wanted != "auto":
        return wanted, "as asked for"
    if 0 in recording.photos or 0 in recording.meshes:
        return -1, "files count from 0, label files from 1"
    return 0, "no file is numbered 0"


def match(recording: Recording, coded: np.ndarray, offset: int) -> tuple[list[Instant], list[int]]:
    """Bring photos, meshes and label rows together.

    Args:
        recording: The files.
        coded: Frame numbers of the label file.
        offset: Photo number minus frame number.

    Returns:
        Every instant that has a photo, in order of time; and coded frames that have none.
    """
    instants = [
        Instant(number - offset, photo, recording.meshes.get(number))
        for number, photo in sorted(recording.photos.items())
    ]
    return instants, sorted(set(coded.tolist()).difference(instant.frame for instant in instants))


Key = tuple[str, int]


def _task_folders(source: Path) -> dict[Key, Path]:
    found: dict[Key, Path] = {}
    for subject in _shallowest(source, _SUBJECT):
        for folder in _folders(subject):
            task = _TASK.fullmatch(folder.name)
            if task is None or not _has_images(folder):  # other sensors' folders are called the same
                continue
            key = (subject.name.upper(), int(task[1]))
            if key in found:
                raise DataError(f"{key[0]} T{key[1]} is also in {found[key]}", where=folder, hint="keep one of the two")
            found[key] = folder
    return found


def _has_images(folder: Path) -> bool:
    return any(file.suffix.lower() in {*_PHOTOS, _MESH} for file in folder.iterdir())


def _label_files(source: Path) -> dict[Key, Path]:
    folders = _shallowest(source, _OCCURRENCE) or _shallowest(source, _CODING)
    if not folders and any(_SUBJECT.fullmatch(folder.name) for folder in _folders(source)):
        # --source is the folder of sequences itself: the labels lie beside it.
        folders = [folder for folder in _folders(source.absolute().parent) if _CODING.fullmatch(folder.name)]
    found: dict[Key, Path] = {}
    for file in sorted(file for folder in folders for file in folder.rglob("*.[cC][sS][vV]")):
        name = _CODED.fullmatch(file.stem)
        if name is None:
            continue
        key = (name[1].upper(), int(name[2]))
        if key in found:
            raise DataError(f"the same sequence is coded in {found[key]}", where=file, hint="keep one of the two")
        found[key] = file
    return found


def _shallowest(source: Path, name: re.Pattern[str]) -> list[Path]:
    """Folders of that name on the first level below that has any, a few levels down at most."""
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
        raise DataError("may not be read", where=parent, hint="give yourself the right to read it") from None


def _recording(key: Key, folder: Path | None, codes: Path | None) -> Recording:
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
    return Recording(key[0], f"T{key[1]}", photos, meshes, codes, tuple(unnumbered))
