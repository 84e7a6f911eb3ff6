"""Work for the sequences of a BP4D delivery."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from aubench.core import landmarks as landmark_layout
from aubench.core.errors import DataError, UsageError
from aubench.core.task import Modality
from aubench.data.inputs import Inputs, fingerprint
from aubench.datasets.bp4d.bp4d_dataset import BP4D, Bp4dOptions
from aubench.datasets.bp4d.delivery import scan_delivery
from aubench.datasets.bp4d.extract import ImageOptions, extract
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


def find_jobs(source: Path, options: Bp4dOptions) -> Jobs:
    """Search a delivery, and read all label files before the first photo.

    Raises:
        DataError: The layout is unknown, or a file is damaged.
        UsageError: An option is out of range.
    """
    if options.size < 16:
        raise UsageError("images need 16 pixels or more", where=f"size {options.size}")
    request = OffsetRequest.parse(str(options.frame_offset))
    delivery = scan_delivery(source)
    coded = _check(delivery.recordings, options.landmarks, options.allow_gaps)
    delivery = decide_offsets(delivery, request, coded)
    images = ImageOptions(options.size, any(r.meshes for r in delivery.recordings), options.landmarks)
    return Jobs(
        {
            (r.subject, r.sequence): Job(partial(extract, r, images), len(r.photos), recording_inputs(r, images))
            for r in delivery.recordings
        },
        CROPS[options.landmarks is not None],
        delivery.missing(coded),
        landmark_layout.COUNT if options.landmarks else None,
        {m: text for m, text in BP4D.modalities.items() if images.depth or m is not Modality.DEPTH},
    )


def _check(recordings: list[Recording], landmarks: Path | None, allow_gaps: bool) -> list[np.ndarray]:
    """Read all label files and look for all landmark files before the long work begins; return the coded frames."""
    coded = []
    for recording in recordings:
        coded.append(coded_frames(recording.label_file, allow_gaps=allow_gaps))
        if landmarks and recording.photos:
            path = landmark_file(landmarks, recording.subject, recording.sequence)
            if not path.is_file():
                raise DataError("no such landmark file", where=path, hint="add it, or leave --landmarks out")
    return coded


def recording_inputs(recording: Recording, options: ImageOptions) -> Inputs:
    """Return the state of all files that decide the arrays and the table of a recording."""
    points = landmark_file(options.landmarks, recording.subject, recording.sequence) if options.landmarks else None
    kinds = {
        "photos": recording.photos.values(),
        "meshes": recording.meshes.values(),
        "label files": [recording.label_file] if recording.label_file else [],
        "landmark files": [points] if points else [],
    }
    states = {kind: fingerprint((path.name, path) for path in files) for kind, files in kinds.items()}
    return {**states, "modalities": [2 if options.depth else 1, None], "frame offset": [recording.offset, None]}
