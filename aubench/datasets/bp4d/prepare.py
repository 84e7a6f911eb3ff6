"""Work for the sequences of a BP4D delivery."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aubench.core import landmarks as landmark_layout
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.inputs import fingerprint
from aubench.datasets.bp4d.bp4d_dataset import Bp4dOptions
from aubench.datasets.bp4d.delivery import Delivery
from aubench.datasets.bp4d.extract import Further, ImageOptions, extract
from aubench.datasets.bp4d.frame_offsets import OffsetRequest, decide_offsets
from aubench.datasets.bp4d.labels import coded_frames
from aubench.datasets.bp4d.landmark_files import landmark_file
from aubench.datasets.bp4d.layout import Recording
from aubench.datasets.delivered import Job, Jobs

_CROP = "square from forehead to dropped chin, smoothed over the sequence: "
CROPS = {
    False: _CROP + "face mesh, else Haar detector and optical flow, upright",
    True: _CROP + "49 points, eyes level",
}


def find_jobs(
    delivery: Delivery,
    options: Bp4dOptions,
    landmarks: Path | None,
    meanings: Mapping[Modality, str],
    *,
    thermal: Mapping[str, tuple[Further, list[Path]]] | None = None,
    detects_others: bool = False,
) -> Jobs:
    """Read all label files of a delivery, and return the work for its sequences.

    Args:
        delivery: Files of BP4D or BP4D+.
        options: Preparation options.
        landmarks: Folder of the 49-point files, or None.
        meanings: Meaning of the channels of all modalities.
        thermal: Function that makes the thermal images, and their files, by name of the recording; None without such
            images.
        detects_others: Whether sequences without a 49-point file are read.

    Raises:
        DataError: A label file is damaged.
        UsageError: A frame offset is requested for a sequence that does not exist.
    """
    coded = [coded_frames(r.label_file, allow_gaps=options.allow_gaps) for r in delivery.recordings]
    delivery = decide_offsets(delivery, OffsetRequest.parse(options.frame_offset), coded)
    images = ImageOptions(options.size, any(r.meshes for r in delivery.recordings), landmarks, detects_others)
    absent = {*[Modality.DEPTH] * (not images.depth), *[Modality.THERMAL] * (thermal is None)}
    present = {modality: text for modality, text in meanings.items() if modality not in absent}
    jobs = {}
    for recording in delivery.recordings:
        read, files = partial(extract, recording, images), recording_files(recording, landmarks)
        if thermal is not None:
            make, files["thermal files"] = thermal[recording.name]
            read = partial(read, further=make)
        states = {kind: fingerprint((path.name, path) for path in paths) for kind, paths in files.items()}
        inputs = {**states, "modalities": [len(present), None], "frame offset": [recording.offset, None]}
        jobs[recording.subject, recording.sequence] = Job(read, len(recording.photos), inputs)
    return Jobs(
        jobs,
        CROPS[landmarks is not None],
        delivery.missing(coded),
        landmark_layout.COUNT if landmarks else None,
        present,
    )


def require_landmarks(recordings: list[Recording], folder: Path) -> None:
    """Check that a folder has the landmark file of every recording with photos.

    Raises:
        DataError: A file is missing.
    """
    for recording in recordings:
        path = landmark_file(folder, recording.subject, recording.sequence)
        if recording.photos and not path.is_file():
            raise DataError("no such landmark file", where=path, hint="add it, or leave --landmarks out")


def recording_files(recording: Recording, landmarks: Path | None) -> dict[str, list[Any]]:
    """Return all files that decide the arrays and the table of a recording, by kind."""
    points = landmark_file(landmarks, recording.subject, recording.sequence) if landmarks else None
    return {
        "photos": list(recording.photos.values()),
        "meshes": list(recording.meshes.values()),
        "label files": [recording.label_file] if recording.label_file else [],
        "landmark files": [points] if points else [],
    }
