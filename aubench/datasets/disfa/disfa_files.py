"""Search for the files of DISFA: videos, label files and landmark files."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aubench.core.errors import DataError
from aubench.datasets.disfa.intensities import AUS, SUBJECT_NAME, SUBJECTS
from aubench.datasets.file_search import files_below, printable
from aubench.faces.video_files import EXTENSIONS

LAYOUT = "expected Videos_LeftCamera/LeftVideoSN001_comp.avi and ActionUnit_Labels/SN001/SN001_au1.txt in it"
_AGAIN = "copy the files from the delivery again"
_LANDMARK_FOLDER = re.compile(r"landmark", re.IGNORECASE)
_LABEL = re.compile(r"(SN\d{3})_au0*(\d{1,3})\.txt", re.IGNORECASE | re.ASCII)
_LABEL_FOLDER = re.compile(r"action_?unit|label", re.IGNORECASE)
_VIDEO = re.compile(r"(left|right)_?video_?(SN\d{3})(_comp)?", re.IGNORECASE | re.ASCII)
_CAMERA = re.compile(r"(left|right)_?camera", re.IGNORECASE)
_LANDMARK = re.compile(r"(?:(SN\d{3})_)?\D*(\d{1,9})_lm\.mat", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class DisfaFiles:
    """Files of one subject in front of one camera."""

    subject: str  # name such as SN001
    video: Path | None = None
    labels: Mapping[int, Path] = field(default_factory=dict)  # label file by AU
    landmarks: Mapping[int, Path] = field(default_factory=dict)  # landmark file by the number in its name


def find_disfa(source: Path, camera: str, landmarks: Path | None) -> tuple[list[DisfaFiles], list[str]]:
    """Find the files of every subject.

    Args:
        source: Folder of the delivery.
        camera: ``left`` or ``right``.
        landmarks: Folder of the delivered landmark files, if they are used.

    Returns:
        Files of each subject with a video or labels, and names and reasons of unused files.

    Raises:
        DataError: A folder does not exist or cannot be read, there is no video or no label file, a file is there
            twice, is that of an unknown subject or of another subject than its folder, or a label file is missing.
    """
    if not source.is_dir():
        raise DataError("no such folder", where=source, hint=LAYOUT)
    search = _Search(source, camera)
    for path in files_below(source, enter=lambda name: _LANDMARK_FOLDER.search(name) is None):
        search.add(path)
    videos, labels = search.videos, search.labels
    if not labels:
        raise DataError("no label file in it", where=source, hint=LAYOUT)
    if not videos:
        raise DataError(f"no video of the {camera} camera in it", where=source, hint=LAYOUT)
    for subject, files in sorted(labels.items()):
        missing = [f"AU{au}" for au in AUS if au not in files]
        if missing:
            where = next(iter(files.values())).parent
            raise DataError(f"no label file of {', '.join(missing)} of {subject}", where=where, hint=_AGAIN)
    points = _find_landmarks(landmarks) if landmarks else {}
    subjects = [name for name in SUBJECTS if name in videos or name in labels]
    return [DisfaFiles(s, videos.get(s), labels.get(s, {}), points.get(s, {})) for s in subjects], search.unused


@dataclass
class _Search:
    """Files of a delivery by subject."""

    source: Path
    camera: str
    videos: dict[str, Path] = field(default_factory=dict)
    labels: dict[str, dict[int, Path]] = field(default_factory=lambda: defaultdict(dict))
    unused: list[str] = field(default_factory=list)

    def add(self, path: Path) -> None:
        if path.suffix.lower() == ".txt":
            self._add_label(path)
        elif path.suffix.lower() in EXTENSIONS:
            self._add_video(path)

    def _add_label(self, path: Path) -> None:
        name = _LABEL.fullmatch(path.name)
        if name and int(name[2]) in AUS:
            _add(self.labels[_subject(name[1], path)], int(name[2]), path)
        elif name or any(_LABEL_FOLDER.search(part) for part in path.relative_to(self.source).parts[:-1]):
            self.unused.append(f"{printable(path.name)}: its name is not like SN001_au1.txt with one of the 12 AUs")

    def _add_video(self, path: Path) -> None:
        name = _VIDEO.fullmatch(path.stem)
        if name is None:
            self.unused.append(f"{printable(path.name)}: its name is not like LeftVideoSN001_comp.avi")
        elif _camera(name[1], path) == self.camera:
            _add(self.videos, _subject(name[2], path), path)


def _find_landmarks(folder: Path) -> dict[str, dict[int, Path]]:
    if not folder.is_dir():
        raise DataError("no such folder", where=folder, hint="give the folder of the delivered landmark files")
    files: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in files_below(folder):
        name = _LANDMARK.fullmatch(path.name)
        if name:
            subject = name[1] or _folder_of_subject(path)
            if subject:
                _add(files[_subject(subject, path)], int(name[2]), path)
    if not files:
        hint = "expected SN001/tmp_frame_lm/SN001_0000_lm.mat in it"
        raise DataError("no landmark file in it", where=folder, hint=hint)
    return files


def count_from(kind: str, votes: Mapping[str, int | None]) -> tuple[int, str]:
    """Decide whether the files of a delivery count frames from 0 or from 1.

    Args:
        kind: Noun of the files in the plural.
        votes: First number, 0 or 1, by subject; None without evidence.

    Returns:
        First number, and the evidence; 0 without evidence.

    Raises:
        DataError: Subjects contradict each other.
    """
    counts = Counter(vote for vote in votes.values() if vote is not None)
    if not counts:
        return 0, f"no evidence for {kind}"
    (most, more), *others = counts.most_common()
    for few, _ in others:
        names = [subject for subject, vote in votes.items() if vote == few]
        what = f"{kind} count from {most} in {more} subjects and from {few} in {', '.join(names[:3])}"
        raise DataError(what + ", …" * (len(names) > 3), hint="copy those files from the delivery again")
    return most, f"{kind} of {more} subjects begin with {most}"


def _subject(name: str, path: Path) -> str:
    """Return a known subject in upper case, and refuse a file in the folder of another subject."""
    subject = name.upper()
    if subject not in SUBJECTS:
        hint = f"its {len(SUBJECTS)} subjects are {SUBJECTS[0]} to {SUBJECTS[-1]}; rename the file or move it elsewhere"
        raise DataError(f"{subject} is not a subject of DISFA", where=path, hint=hint)
    folder = _folder_of_subject(path)
    if folder not in {None, subject}:
        raise DataError(f"is in the folder of {folder}", where=path, hint="move it to the folder of its subject")
    return subject


def _folder_of_subject(path: Path) -> str | None:
    return next((part.upper() for part in path.parts[-2:-4:-1] if SUBJECT_NAME.fullmatch(part)), None)


def _camera(side: str, path: Path) -> str:
    folder = _CAMERA.search(path.parent.name)
    if folder and folder[1].lower() != side.lower():
        what = f"is in the folder of the {folder[1].lower()} camera"
        raise DataError(what, where=path, hint="move it to the folder of its camera")
    return side.lower()


def _add(files: dict[Any, Path], key: object, path: Path) -> None:
    if key in files:
        raise DataError(f"holds the same as {files[key]}", where=path, hint="keep one of the two")
    files[key] = path
