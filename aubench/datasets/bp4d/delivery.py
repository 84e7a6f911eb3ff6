"""Search for the sequences of a BP4D delivery: photos, meshes and label files in folders of many layouts.

The expected layout is ``Sequences(2D+3D)/F001/T1/0000.jpg`` with a mesh ``0000.obj`` in the same folder and labels
in ``AUCoding/AU_OCC/F001_T1.csv``. Copies differ in folder names, depth and digits of file names. Meshes may be in
folders of their own.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aubench._util.zip_files import list_zip
from aubench.core.errors import DataError
from aubench.core.system_files import is_folder
from aubench.datasets.bp4d.labels import number_gaps
from aubench.datasets.bp4d.layout import BP4D_LAYOUT, Key, Layout, Recording
from aubench.datasets.bp4d.sequence_files import ZipFolder, collect_recording, has_images, is_image
from aubench.datasets.file_search import entries_of, files_below, printable

Skipped = tuple[str, str, int, str]
"""Subject, sequence, frame number (-1 for none) and reason, as in ``skipped.csv``."""

_SUBJECT = re.compile(r"[FM]\d{3}", re.IGNORECASE | re.ASCII)
_TASK = re.compile(r"T(\d{1,4})", re.IGNORECASE | re.ASCII)
_CODED = re.compile(r"([FM]\d{3})[_-]T(\d{1,4})", re.IGNORECASE | re.ASCII)
_OCCURRENCE = re.compile(r"AU_?OCC", re.IGNORECASE)
_CODING = re.compile(r"AU_?Coding|AU_?OCC", re.IGNORECASE)
_INTENSITY = re.compile(r"AU_?INT", re.IGNORECASE)
_ARCHIVE = re.compile(r"([FM]\d{3})\.(zip|rar|7z|tar|tgz|tar\.gz)", re.IGNORECASE | re.ASCII)
_DEEP = 3
_NOT_LIKE = ": its name is not like F001/T1"


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


def scan_delivery(source: Path, layout: Layout = BP4D_LAYOUT) -> Delivery:
    """Find all sequences in a folder, label files without a sequence, and files that cannot be used.

    Args:
        source: Folder of the delivery, its parent, or its folder of sequences.
        layout: Layout of the delivery.

    Returns:
        Delivery. A label file without a sequence yields a recording without photos.

    Raises:
        DataError: The folder does not exist or cannot be read, holds no sequence, no photo or no label file, or holds
            one of them twice.
    """
    expected = f"expected {layout.example} in it"
    if not source.is_dir():
        raise DataError("no such folder", where=source, hint=expected)
    folders, archives = folders_below(source)
    tasks, unused = _task_folders(folders)
    label_files, unknown_labels = _label_files(source, folders)
    zips = [path for path in archives if layout.reads_zips and path.suffix.lower() == ".zip"]
    for path in zips:
        in_zip, unread = _task_folders_in(path, layout.tasks)
        for key, folder in in_zip.items():
            tasks.setdefault(key, []).append(folder)
        unused += unread
    unpacked = {subject for subject, _ in tasks}
    packed = [path.name for path in archives if path not in zips and path.name[:4].upper() not in unpacked]
    if not tasks:
        hint = f"unpack {packed[0]} and the others first" if packed else expected
        raise DataError("no folder of a sequence in it", where=source, hint=hint)
    if not label_files:
        tables = [name for name in unknown_labels if name.lower().endswith(".csv")]
        hint = f"rename {tables[0]} and the others like F001_T1.csv" if tables else expected
        raise DataError("no label file in it", where=source, hint=hint)
    keys = [key for key in sorted({*tasks, *label_files}) if key[1] in layout.tasks]
    recordings = [collect_recording(key, tasks.get(key, []), label_files.get(key)) for key in keys]
    if not any(recording.photos for recording in recordings):
        raise DataError("no photo in it", where=next(iter(tasks.values()))[0], hint=expected)
    unused += [f"{name}: its name is not like F001_T1.csv" for name in unknown_labels]
    unused += [f"{name}: not unpacked" for name in packed]
    if others := sorted({task for _, task in {*tasks, *label_files} if task not in layout.tasks}):
        unused.append(f"{', '.join(f'T{task}' for task in others)}: tasks without AU codes, not read")
    return Delivery(recordings, unused)


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


def folders_below(source: Path) -> tuple[list[Path], list[Path]]:
    """Return all folders down to a few levels, the highest first, and archives of subjects."""
    seen = {os.path.realpath(source)}
    level, folders, archives = [source], [], []
    for _ in range(_DEEP):
        below = []
        for parent in level:
            for entry in entries_of(parent):
                if not is_folder(entry):
                    archives += [Path(entry.path)] if _ARCHIVE.fullmatch(entry.name) else []
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


def _task_folders(folders: list[Path]) -> tuple[dict[Key, list[Path | ZipFolder]], list[str]]:
    """Return the folders of each sequence, and names and reasons of unused folders of images."""
    tasks: dict[Key, list[Path | ZipFolder]] = defaultdict(list)
    unknown = []
    seen: dict[str, Key] = {}
    for subject in folders:
        is_subject = _SUBJECT.fullmatch(subject.name)
        for entry in entries_of(subject):
            folder, task = Path(entry.path), _TASK.fullmatch(entry.name)
            if not (is_subject or task) or not is_folder(entry) or _SUBJECT.fullmatch(entry.name):
                continue
            if not has_images(folder):
                continue  # folders of other sensors have the same names
            if not (is_subject and task):
                unknown.append(printable(f"{subject.name}/{entry.name}") + _NOT_LIKE)
                continue
            key = (subject.name.upper(), int(task[1]))
            other = seen.setdefault(os.path.realpath(folder), key)
            if other != key:
                raise DataError(f"is a link to {other[0]} T{other[1]}", where=folder, hint="remove the link")
            if folder not in tasks[key]:
                tasks[key].append(folder)
    return dict(tasks), unknown


def _task_folders_in(archive: Path, tasks_to_read: Container[int]) -> tuple[dict[Key, ZipFolder], list[str]]:
    """Return the folder of each sequence in the archive of a subject, and names and reasons of unused entries.

    Folders of other tasks have one file only.
    """
    files, outside = list_zip(archive)
    subject, name = archive.name[:4].upper(), printable(archive.name)
    tasks: dict[Key, ZipFolder] = {}
    unknown = Counter[str]()
    for file in files:
        *folders, file_name = file.parts
        *above, folder = ("", *folders)
        task = _TASK.fullmatch(folder)
        of_other = [part for part in above if _SUBJECT.fullmatch(part) and part.upper() != subject]
        if task and not of_other:
            key = subject, int(task[1])
            if key not in tasks:
                tasks[key] = ZipFolder(archive, file.parent, [])
            if key[1] in tasks_to_read or (not tasks[key].files and is_image(file_name)):
                tasks[key].files.append(file)
        elif is_image(file_name):
            unknown[printable("/".join((name, *folders)))] += 1
    unused = [f"{folder}{_NOT_LIKE}" for folder in unknown]
    if outside:
        unused.append(f"{name}: {len(outside)} files like {printable(outside[0])} are outside the archive, not read")
    if not tasks:
        unused.append(f"{name}: no folder like F001/T1 in it")
    return {key: folder for key, folder in tasks.items() if any(is_image(file.name) for file in folder.files)}, unused


def _label_files(source: Path, folders: list[Path]) -> tuple[dict[Key, Path], list[str]]:
    """Return the label file of each sequence, and names of files with an unknown name."""
    named = [f for f in folders if _OCCURRENCE.fullmatch(f.name)] or [f for f in folders if _CODING.fullmatch(f.name)]
    if not named and any(_SUBJECT.fullmatch(folder.name) for folder in folders if folder.parent == source):
        # The source is the folder of sequences, whose parent also holds the labels.
        siblings = [Path(entry.path) for entry in entries_of(source.absolute().parent) if is_folder(entry)]
        named = [folder for folder in siblings if _CODING.fullmatch(folder.name)]
    files: dict[Key, Path] = {}
    unknown = []
    for path in sorted(files_below(*named, enter=lambda name: not _INTENSITY.fullmatch(name))):
        name = _CODED.fullmatch(path.stem)
        if name is None or path.suffix.lower() != ".csv":
            unknown.append(printable("/".join(path.parts[-2:])))
            continue
        key = (name[1].upper(), int(name[2]))
        if key in files:
            raise DataError(f"the same sequence is coded in {files[key]}", where=path, hint="keep one of the two")
        files[key] = path
    return files, unknown
