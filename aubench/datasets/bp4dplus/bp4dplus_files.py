"""Search for the files of a BP4D+ delivery.

The layout is ``2D+3D/F001.zip`` with ``F001/T1/0000.jpg`` in it, or the same folders unpacked. Further files are
``AUCoding/AU_OCC/F001_T1.csv``, ``2DFeatures/F001_T1.mat``, ``Thermal/F001/T1.wmv`` and ``IRFeatures/F001_T1.txt``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aubench.core.errors import DataError
from aubench.core.system_files import is_folder
from aubench.datasets.bp4d.delivery import Delivery, folders_below, scan_delivery
from aubench.datasets.bp4d.landmark_files import landmark_file
from aubench.datasets.bp4d.layout import Key, Layout, Recording
from aubench.datasets.bp4dplus.thermal import ThermalFiles
from aubench.datasets.file_search import entries_of, printable
from aubench.faces.video_files import EXTENSIONS

LAYOUT = Layout(
    "2D+3D/F001.zip or 2D+3D/F001/T1/0000.jpg, and AUCoding/AU_OCC/F001_T1.csv", tasks=(1, 6, 7, 8), reads_zips=True
)
"""Layout of BP4D+; the owners coded four of the ten tasks."""

_SUBJECTS = {f"{sex}{number:03}" for sex, last in (("F", 82), ("M", 58)) for number in range(1, last + 1)}
_KNOWN_PROBLEMS = {"F041/T7": "known problem: video and label file are reported to have different lengths"}
_UNTRACKED = {f"M049/T{task}" for task in (1, 6, 7, 8)}
_POINTS, _THERMAL, _INFRARED = (
    re.compile(name, re.IGNORECASE) for name in (r"2D_?Features", r"Thermal", r"IR_?Features")
)
_NAMED = re.compile(r"([FM]\d{3})[/_-]T0*(\d{1,4})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class PlusDelivery:
    """Files of a delivery of BP4D+."""

    delivery: Delivery  # photos, meshes and label files
    landmarks: Path | None  # folder of 49-point files
    thermal: Mapping[str, ThermalFiles]  # files by name of the recording such as F001/T1; empty without thermal images


def scan_bp4dplus(source: Path, landmarks: Path | None = None) -> PlusDelivery:
    """Find all files in a folder.

    Args:
        source: Folder of the delivery, or its parent.
        landmarks: Folder of 49-point files; ``2DFeatures`` of the delivery by default.

    Raises:
        DataError: The folder does not exist or cannot be read, holds no sequence, no photo or no label file, or holds
            one of them twice.
    """
    delivery = scan_delivery(source, LAYOUT)
    folders, _ = folders_below(source)
    landmarks = landmarks or next((folder for folder in folders if _POINTS.fullmatch(folder.name)), None)
    recordings, unused = [], list(delivery.unused)
    videos = _named_files([f for f in folders if _THERMAL.fullmatch(f.name)], EXTENSIONS, "F001/T1.wmv", unused)
    infrared = _named_files([f for f in folders if _INFRARED.fullmatch(f.name)], {".txt"}, "F001_T1.txt", unused)
    for recording in delivery.recordings:
        if recording.subject not in _SUBJECTS:
            unused.append(f"{recording.name}: not a subject of BP4D+, which has F001 to F082 and M001 to M058")
        else:
            remarks = (*recording.remarks, *_remarks(recording, landmarks, infrared))
            recordings.append(replace(recording, remarks=remarks))
    if not any(recording.photos for recording in recordings):
        raise DataError("no photo of a subject of BP4D+ in it", where=source, hint=f"expected {LAYOUT.example} in it")
    if videos and not (landmarks and infrared):
        lost = "IRFeatures" if landmarks else "2DFeatures"
        unused.append(f"thermal videos: not read, because there is no folder {lost} to align them with the photos")
        videos = {}
    keys = {recording.name: (recording.subject, int(recording.sequence[1:])) for recording in recordings}
    thermal = {name: ThermalFiles(videos.get(key), infrared.get(key)) for name, key in keys.items()} if videos else {}
    return PlusDelivery(Delivery(recordings, unused), landmarks, thermal)


def _remarks(recording: Recording, landmarks: Path | None, infrared: Mapping[Key, Path]) -> Iterator[str]:
    if recording.name in _KNOWN_PROBLEMS:
        yield _KNOWN_PROBLEMS[recording.name]
    if recording.name in _UNTRACKED and (recording.subject, int(recording.sequence[1:])) not in infrared:
        yield "known problem: delivered without infrared points"
    if landmarks and recording.photos and not landmark_file(landmarks, recording.subject, recording.sequence).is_file():
        yield f"no file like {landmarks.name}/F001_T1.mat, so the face is detected"


def _named_files(folders: list[Path], suffixes: Container[str], example: str, unused: list[str]) -> dict[Key, Path]:
    """Return files like ``F001/T1`` or ``F001_T1`` in folders by subject and task, and list the others as unused."""
    files: dict[Key, Path] = {}
    others: dict[tuple[str, str], list[str]] = defaultdict(list)
    for folder in folders:
        for name, path in _entries_of_subjects(folder):
            named = _NAMED.fullmatch(name)
            if named is None or path.suffix.lower() not in suffixes:
                shown = printable(path.relative_to(folder.parent).as_posix())
                others[folder.name, path.suffix.lower()].append(shown)
                continue
            key = (named[1].upper(), int(named[2]))
            if key in files:
                what = f"the same sequence is in {printable(str(files[key]))}"
                raise DataError(what, where=path, hint="keep one of the two")
            files[key] = path
    unused += [f"{len(names)} files like {names[0]}: not like {example}, not read" for names in others.values()]
    return files


def _entries_of_subjects(folder: Path) -> Iterator[tuple[str, Path]]:
    """Iterate over the files in a folder and its folders, with their names without the extension."""
    for entry in entries_of(folder):
        path = Path(entry.path)
        if is_folder(entry):
            yield from ((f"{entry.name}/{Path(one.path).stem}", Path(one.path)) for one in entries_of(path))
        else:
            yield path.stem, path
