"""Resumable conversion of a BP4D delivery into a store on all cores."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from aubench._util import system
from aubench._util.progress import print_line
from aubench.core import landmarks as landmark_layout
from aubench.core.errors import DataError, UsageError
from aubench.core.task import Modality
from aubench.data.inputs import Inputs, fingerprint
from aubench.data.store_writer import StoreWriter
from aubench.datasets.bp4d.bp4d_dataset import BP4D
from aubench.datasets.bp4d.delivery import scan_delivery
from aubench.datasets.bp4d.extract import ImageOptions, extract
from aubench.datasets.bp4d.frame_offsets import OffsetRequest, decide_offsets
from aubench.datasets.bp4d.labels import coded_frames
from aubench.datasets.bp4d.landmark_files import landmark_file
from aubench.datasets.bp4d.layout import SCORED, Recording, printable
from aubench.datasets.bp4d.summary import PrepareSummary
from aubench.datasets.sequence_pool import write_sequences

_CROP = "square from forehead to dropped chin, smoothed over the sequence: "
CROPS = {
    False: _CROP + "face mesh, else Haar detector and optical flow, upright",
    True: _CROP + "49 points, eyes level",
}


def prepare_bp4d(
    source: Path,
    store: Path,
    *,
    size: int = 256,
    frame_offset: str | int = "auto",
    allow_gaps: bool = False,
    landmarks: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PrepareSummary:
    """Convert BP4D as delivered into a store. A repeated call resumes an interrupted one.

    Args:
        source: Folder of the delivery.
        store: Folder of the new store.
        size: Height and width of every image.
        frame_offset: Photo number minus label frame number; ``auto`` decides once for all sequences, and
            ``F007/T2=0`` sets it for one.
        allow_gaps: Accept label files that leave out frames.
        landmarks: Folder of the delivered 49-point files to align by and to store; a face detector otherwise.
        workers: Processes; one per core by default. The store does not depend on it.
        progress: Called with the numbers of finished and of all photos.

    Returns:
        Summary.

    Raises:
        DataError: The layout is unknown, or a file is damaged (all label files are read before the first photo).
            Finished sequences remain for the next attempt.
        UsageError: An option is out of range.
    """
    if size < 16:
        raise UsageError("images need 16 pixels or more", where=f"size {size}")
    request = OffsetRequest.parse(str(frame_offset))
    delivery = scan_delivery(source)
    coded = _check(delivery.recordings, landmarks, allow_gaps)
    delivery = decide_offsets(delivery, request, coded)
    recordings = delivery.recordings
    options = ImageOptions(size, any(r.meshes for r in recordings), landmarks)
    plan = {
        "dataset": "bp4d",
        "version": BP4D.version,
        "source": printable(str(source.resolve())),
        "size": size,
        "frame_offset": frame_offset,
        "landmarks": printable(str(landmarks.resolve())) if landmarks else None,
    }
    with StoreWriter(store, plan) as writer:
        for line in writer.discard_changed({(r.subject, r.sequence): recording_inputs(r, options) for r in recordings}):
            print_line(f"aubench: {line}; it is prepared again")
        readers = {(r.subject, r.sequence): (partial(extract, r, options), len(r.photos)) for r in recordings}
        write_sequences(writer, readers, workers or system.available_cores(), progress)
        prepared = writer.finish(
            dataset="bp4d",
            version=BP4D.version,
            size=size,
            modalities={m: text for m, text in BP4D.modalities.items() if options.depth or m is not Modality.DEPTH},
            crop=CROPS[landmarks is not None],
            landmarks=landmark_layout.COUNT if landmarks else None,
            skipped=delivery.missing(coded),
        )
    return PrepareSummary.from_store(prepared, SCORED)


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
