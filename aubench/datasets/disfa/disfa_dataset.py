"""DISFA as an entry of the registry of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.datasets.delivered import DeliveredDataset, DeliveredOptions, Job, Jobs
from aubench.datasets.disfa.intensities import AUS, SUBJECTS

if TYPE_CHECKING:
    from aubench.data.inputs import Inputs
    from aubench.datasets.disfa.disfa_files import DisfaFiles
    from aubench.datasets.disfa.disfa_sequences import Numbering
    from aubench.datasets.sequence_pool import Key


class DisfaOptions(DeliveredOptions):
    """Preparation options of DISFA."""

    camera: Literal["left", "right"] = Field("left", description="Camera of the videos: left or right.")
    landmarks: Path | None = Field(
        None, description="Folder of the delivered 66-point files; align by them and store 49 of their points."
    )


class DisfaDataset(DeliveredDataset):
    """DISFA in the folder layout of its owners."""

    name, version, title = "disfa", "2", "DISFA as delivered by its owners"
    aus = AUS
    modalities: ClassVar[Mapping[Modality, str]] = {Modality.VISUAL: "RGB of the video"}
    labels = "intensity"
    Options = DisfaOptions

    def find(self, source: Path, options: DisfaOptions) -> Jobs:
        """Search the delivery, read all label files, and open all videos.

        Raises:
            DataError: The layout is unknown, a file is damaged, or frames are counted in two ways.
        """
        from aubench.core import landmarks
        from aubench.datasets.disfa.disfa_files import find_disfa
        from aubench.datasets.disfa.disfa_sequences import read_sequence
        from aubench.faces.video_files import Video
        from aubench.faces.visual_crops import ALIGNED, DETECTED

        subjects, unused = find_disfa(source, options.camera, options.landmarks)
        numbering = _numbering(subjects, options.landmarks is not None)
        jobs: dict[Key, Job] = {}
        for files in subjects:
            if files.video is not None:
                read = partial(read_sequence, files, options.camera, numbering, options.size)
                jobs[files.subject, options.camera] = Job(
                    read, max(Video.open(files.video).stated_frames, 1), _inputs(files, numbering)
                )
        return Jobs(
            jobs,
            DETECTED if options.landmarks is None else ALIGNED,
            [("", "", -1, reason) for reason in unused] + _missing(subjects, options.camera),
            None if options.landmarks is None else landmarks.COUNT,
            {Modality.VISUAL: f"RGB of the video of the {options.camera} camera"},
        )


def _numbering(subjects: list[DisfaFiles], use_landmarks: bool) -> Numbering:
    """Read all label files, and decide once for the delivery how frames are counted."""
    from aubench.datasets.disfa.disfa_files import count_from
    from aubench.datasets.disfa.disfa_sequences import Numbering
    from aubench.datasets.disfa.intensities import read_all_intensities

    labels = {files.subject: read_all_intensities(files.labels) for files in subjects if files.labels}
    first, reason = count_from("label files", {subject: column.first for subject, column in labels.items()})
    if not use_landmarks:
        return Numbering(first, None, reason)
    votes: dict[str, int | None] = {}
    for files in subjects:
        if files.video is not None:
            coded = len(labels[files.subject].values) if files.subject in labels else 0
            votes[files.subject] = _first_landmark(files, coded)
    landmark, more = count_from("landmark files", votes)
    return Numbering(first, landmark, f"{reason}, {more}")


def _first_landmark(files: DisfaFiles, coded: int) -> int | None:
    """Return the number of the first landmark file, or None where that file may be lost."""
    if not files.landmarks:
        raise DataError(f"no landmark file of {files.subject}", where="--landmarks", hint="add them, or leave it out")
    if 0 in files.landmarks:
        return 0
    return 1 if min(files.landmarks) == 1 and 0 < coded <= max(files.landmarks) else None


def _inputs(files: DisfaFiles, numbering: Numbering) -> Inputs:
    from aubench.data.inputs import fingerprint

    kinds = {
        "videos": [files.video] if files.video else [],
        "label files": files.labels.values(),
        "landmark files": files.landmarks.values(),
    }
    states = {kind: fingerprint((path.name, path) for path in paths) for kind, paths in kinds.items()}
    return {**states, "numbers of first frames": [numbering.labels, numbering.landmarks]}


def _missing(subjects: list[DisfaFiles], camera: str) -> list[tuple[str, str, int, str]]:
    rows = []
    for files in subjects:
        if files.video is None:
            rows.append((files.subject, camera, -1, "no video"))
        elif not files.labels:
            rows.append((files.subject, camera, -1, "no label files, so its frames are without labels"))
    present = {files.subject for files in subjects}
    return [*rows, *((s, "", -1, "neither a video nor label files") for s in SUBJECTS if s not in present)]


DISFA = DisfaDataset()
