"""Search for the sequences of a BP4D delivery: photos, meshes and label files in folders of many layouts.

The expected layout is ``Sequences(2D+3D)/F001/T1/0000.jpg`` with a mesh ``0000.obj`` in the same folder and labels
in ``AUCoding/AU_OCC/F001_T1.csv``. Copies differ in folder names, depth and digits of file names. Meshes may be in
folders of their own.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aubench.core.errors import DataError
from aubench.core.system_files import is_system_file
from aubench.datasets.bp4d.labels import number_gaps
from aubench.datasets.bp4d.layout import Recording, printable

Key = tuple[str, int]
"""Subject and number of the task."""

Skipped = tuple[str, str, int, str]
"""Subject, sequence, frame number (-1 for none) and reason, as in ``skipped.csv``."""

_SUBJECT = re.compile(r"[FM]\d{3}", re.IGNORECASE | re.ASCII)
_TASK = re.compile(r"T(\d{1,4})", re.IGNORECASE | re.ASCII)
_CODED = re.compile(r"([FM]\d{3})[_-]T(\d{1,4})", re.IGNORECASE | re.ASCII)
_OCCURRENCE = re.compile(r"AU_?OCC", re.IGNORECASE)
_CODING = re.compile(r"AU_?Coding|AU_?OCC", re.IGNORECASE)
_INTENSITY = re.compile(r"AU_?INT", re.IGNORECASE)
_ARCHIVE = re.compile(r"([FM]\d{3})\.(zip|rar|7z|tar|tgz|tar\.gz)", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_KINDS = {".jpg": "photo", ".jpeg": "photo", ".obj": "mesh", ".mtl": "material"}
_OTHER_IMAGES = {".png", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".jp2", ".gif"}
_NOT_JPEG = "only .jpg and .jpeg are read, not "
_WINDOWS_STREAM = ":Zone.Identifier"
_DEEP = 3
_LAYOUT = "expected Sequences(2D+3D)/F001/T1/0000.jpg and AUCoding/AU_OCC/F001_T1.csv in it"


@dataclass(frozen=True)
class Delivery:
    """Recordings of a delivery in order of subject and task, and its unused files and folders."""

    recordings: list[Recording]
    unused: list[str]  # name and reason

    def missing(self, coded: Iterable[np.ndarray]) -> list[Skipped]:
        """List missing and unused files, apart from coded frames without a photo.

        Args:
            coded: Frame numbers of the label file of each recording.
        """
        rows: list[Skipped] = [("", "", -1, reason) for reason in self.unused]
        for recording, frames in zip(self.recordings, coded, strict=True):
            reasons = [*recording.remarks, *_missing_numbers(recording, frames)]
            rows += [(recording.subject, recording.sequence, -1, reason) for reason in reasons]
        subjects = sorted({recording.subject for recording in self.recordings})
        present = {(recording.subject, recording.sequence) for recording in self.recordings}
        for task, count in Counter(recording.sequence for recording in self.recordings).items():
            if count > len(subjects) / 2:
                reason = "neither a folder nor a label file"
                rows += [(subject, task, -1, reason) for subject in subjects if (subject, task) not in present]
        return sorted(rows)


def scan_delivery(source: Path) -> Delivery:
    """Find all sequences in a folder, label files without a sequence, and files that cannot be used.

    Args:
        source: Folder of the delivery, its parent, or its folder of sequences.

    Returns:
        Delivery. A label file without a sequence yields a recording without photos.

    Raises:
        DataError: The folder does not exist or cannot be read, holds no sequence, no photo or no label file, or holds
            one of them twice.
    """
    if not source.is_dir():
        raise DataError("no such folder", where=source, hint=_LAYOUT)
    folders, archives = _folders_below(source)
    tasks, unknown_folders = _task_folders(folders)
    label_files, unknown_labels = _label_files(source, folders)
    packed = [name for name in archives if name[:4].upper() not in {subject for subject, _ in tasks}]
    if not tasks:
        hint = f"unpack {packed[0]} and the others first" if packed else _LAYOUT
        raise DataError("no folder of a sequence in it", where=source, hint=hint)
    if not label_files:
        tables = [name for name in unknown_labels if name.lower().endswith(".csv")]
        hint = f"rename {tables[0]} and the others like F001_T1.csv" if tables else _LAYOUT
        raise DataError("no label file in it", where=source, hint=hint)
    recordings = [_recording(key, tasks.get(key, []), label_files.get(key)) for key in sorted({*tasks, *label_files})]
    if not any(recording.photos for recording in recordings):
        raise DataError("no photo in it", where=next(iter(tasks.values()))[0], hint=_LAYOUT)
    unused = [f"{name}: its name is not like F001/T1" for name in unknown_folders]
    unused += [f"{name}: its name is not like F001_T1.csv" for name in unknown_labels]
    return Delivery(recordings, [*unused, *(f"{name}: not unpacked" for name in packed)])


def _missing_numbers(recording: Recording, coded: np.ndarray) -> list[str]:
    """Describe the gaps of the label file, and the numbers up to the last photo that have neither photo nor code."""
    numbers = {number for number in (coded + recording.offset).tolist() if number < max(recording.photos, default=0)}
    numbers |= recording.photos.keys()
    if recording.offset == -1 and recording.photos:
        numbers.add(-1)  # so that lost first photos leave a gap; in other deliveries the first number is unknown
    return [
        *(f"the label file has no frame {gap}" for gap in number_gaps(coded.tolist())),
        *(f"no photo has the number {gap}" for gap in number_gaps(sorted(numbers))),
    ]


def _folders_below(source: Path) -> tuple[list[Path], list[str]]:
    """Return all folders down to a few levels, the highest first, and the names of archives of subjects."""
    seen = {os.path.realpath(source)}
    level, folders, archives = [source], [], []
    for _ in range(_DEEP):
        below = []
        for parent in level:
            for entry in _entries(parent):
                if not _is_folder(entry):
                    archives += [entry.name] if _ARCHIVE.fullmatch(entry.name) else []
                    continue
                real = os.path.realpath(entry)
                if _SUBJECT.fullmatch(parent.name) and _TASK.fullmatch(entry.name):
                    continue
                if real not in seen or _SUBJECT.fullmatch(entry.name):  # once each: a link may lead back up
                    seen.add(real)
                    below.append(Path(entry.path))
        folders += below
        level = below
    return folders, archives


def _task_folders(folders: list[Path]) -> tuple[dict[Key, list[Path]], list[str]]:
    """Return the folders of each sequence, and names of folders of images with an unknown name."""
    tasks: dict[Key, list[Path]] = defaultdict(list)
    unknown = []
    seen: dict[str, Key] = {}
    for subject in folders:
        is_subject = _SUBJECT.fullmatch(subject.name)
        for entry in _entries(subject):
            folder, task = Path(entry.path), _TASK.fullmatch(entry.name)
            if not (is_subject or task) or not _is_folder(entry) or _SUBJECT.fullmatch(entry.name):
                continue
            if not _has_images(folder):
                continue  # folders of other sensors have the same names
            if not (is_subject and task):
                unknown.append(printable(f"{subject.name}/{entry.name}"))
                continue
            key = (subject.name.upper(), int(task[1]))
            other = seen.setdefault(os.path.realpath(folder), key)
            if other != key:
                raise DataError(f"is a link to {other[0]} T{other[1]}", where=folder, hint="remove the link")
            if folder not in tasks[key]:
                tasks[key].append(folder)
    return dict(tasks), unknown


def _has_images(folder: Path) -> bool:
    suffixes = {suffix for suffix, kind in _KINDS.items() if kind != "material"} | _OTHER_IMAGES
    return any(Path(entry.name).suffix.lower() in suffixes for entry in _entries(folder))


def _label_files(source: Path, folders: list[Path]) -> tuple[dict[Key, Path], list[str]]:
    """Return the label file of each sequence, and names of files with an unknown name."""
    named = [f for f in folders if _OCCURRENCE.fullmatch(f.name)] or [f for f in folders if _CODING.fullmatch(f.name)]
    if not named and any(_SUBJECT.fullmatch(folder.name) for folder in folders if folder.parent == source):
        # The source is the folder of sequences, whose parent also holds the labels.
        siblings = [Path(entry.path) for entry in _entries(source.absolute().parent) if _is_folder(entry)]
        named = [folder for folder in siblings if _CODING.fullmatch(folder.name)]
    files: dict[Key, Path] = {}
    unknown = []
    for path in sorted(_files_below(named)):
        name = _CODED.fullmatch(path.stem)
        if name is None or path.suffix.lower() != ".csv":
            unknown.append(printable("/".join(path.parts[-2:])))
            continue
        key = (name[1].upper(), int(name[2]))
        if key in files:
            raise DataError(f"the same sequence is coded in {files[key]}", where=path, hint="keep one of the two")
        files[key] = path
    return files, unknown


def _files_below(folders: list[Path]) -> Iterator[Path]:
    """Iterate over the files in folders of labels, except intensities, each folder once."""
    pending, seen = list(folders), set()
    while pending:
        folder = pending.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        for entry in _entries(folder):
            if not _is_folder(entry):
                yield Path(entry.path)
            elif not _INTENSITY.fullmatch(entry.name):
                pending.append(Path(entry.path))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder in order of name, except those that systems and archives add to folders."""
    try:
        with os.scandir(folder) as entries:
            return sorted(filter(_is_delivered, entries), key=lambda entry: entry.name)
    except OSError as error:
        hint = "change its permissions, or move it elsewhere"
        raise DataError(f"cannot be read ({error.strerror})", where=folder, hint=hint) from None


def _is_delivered(entry: os.DirEntry[str]) -> bool:
    return not is_system_file(entry.name) and not entry.name.endswith(_WINDOWS_STREAM)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry.path).is_dir())


def _recording(key: Key, folders: list[Path], label_file: Path | None) -> Recording:
    """Collect the files of a sequence; photos and meshes may be in folders of their own."""
    files: dict[str, dict[int, Path]] = {"photo": {}, "mesh": {}, "material": {}}
    unnumbered: list[str] = []
    remarks: list[str] = []
    for folder in folders:
        numbered, others = _numbered_files(folder)
        for kind, paths in numbered.items():
            if paths and files[kind] and kind != "material":
                other = next(iter(files[kind].values())).parent
                raise DataError(f"{key[0]} T{key[1]} is also in {other}", where=folder, hint="keep one of the two")
            files[kind] |= paths
        unnumbered += others.pop("", [])
        remarks += [f"{len(names)} files like {names[0]}: {reason}" for reason, names in others.items()]
    _check_numbers(files["photo"], files["mesh"], folders)
    other_images = [remark for remark in remarks if _NOT_JPEG in remark]
    if not files["photo"]:
        if other_images:
            hint = "convert the photos to JPEG, or move the folder elsewhere"
            raise DataError(f"no photo in it: {other_images[0]}", where=folders[0], hint=hint)
        remarks.append("no photo")
    elif len(folders) > 1:
        remarks = [remark for remark in remarks if remark not in other_images]  # of another sensor
    if label_file is None:
        remarks.append("no label file, so its frames are without labels")
    return Recording(
        key[0],
        f"T{key[1]}",
        files["photo"],
        files["mesh"],
        label_file,
        tuple(unnumbered),
        frozenset(files["material"]),
        tuple(remarks),
    )


def _numbered_files(folder: Path) -> tuple[dict[str, dict[int, Path]], dict[str, list[str]]]:
    """Return the files of each kind by number, and the names of others by reason, empty for a name without number."""
    numbered: dict[str, dict[int, Path]] = defaultdict(dict)
    others: dict[str, list[str]] = defaultdict(list)
    for entry in _entries(folder):
        file = Path(entry.path)
        suffix, name = file.suffix.lower(), printable(entry.name)
        if suffix in _OTHER_IMAGES:
            others[_NOT_JPEG + suffix].append(name)
        kind = _KINDS.get(suffix)
        is_numbered = _NUMBER.fullmatch(file.stem)
        if kind is None or (kind == "material" and not is_numbered):
            continue
        if not is_numbered:
            is_long = file.stem.isascii() and file.stem.isdecimal()
            others["the number has more than 9 digits" if is_long else ""].append(name)
        elif not (entry.is_file(follow_symlinks=False) or file.is_file()):
            others["a broken link or a folder"].append(name)
        elif int(file.stem) in numbered[kind] and kind != "material":
            other = numbered[kind][int(file.stem)].name
            raise DataError(f"has the same number as {other}", where=file, hint="keep one of the two")
        else:
            numbered[kind][int(file.stem)] = file
    return numbered, others


def _check_numbers(photos: dict[int, Path], meshes: dict[int, Path], folders: list[Path]) -> None:
    """Refuse photos that are numbered from 0 with meshes that are numbered from 1, or the reverse."""
    if len(photos) > 1 and len(meshes) > 1:
        first, last = min(meshes) - min(photos), max(meshes) - max(photos)
        if first == last and abs(first) == 1:
            what = f"photos are numbered {min(photos)} to {max(photos)}, meshes {min(meshes)} to {max(meshes)}"
            raise DataError(what, where=folders[-1], hint="give a photo and its mesh the same number")
