"""Folders of videos without labels as an entry of the registry of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.datasets.delivered import DeliveredDataset, DeliveredOptions, Job, Jobs

if TYPE_CHECKING:
    from aubench.datasets.sequence_pool import Key


class VideoDataset(DeliveredDataset):
    """A folder of videos, each of one face."""

    name, version, title = "video", "1", "Any folder of videos without labels, for pre-training"
    aus = ()
    modalities: ClassVar[Mapping[Modality, str]] = {Modality.VISUAL: "RGB of the video"}

    def find(self, source: Path, options: DeliveredOptions) -> Jobs:
        """Find and open all videos; those that cannot be decoded are listed.

        Raises:
            DataError: There is no video that can be decoded, or two videos get one name.
        """
        from aubench.data.inputs import fingerprint
        from aubench.datasets.unlabelled.unlabelled_videos import find_videos, read_video
        from aubench.faces.video_files import Video
        from aubench.faces.visual_crops import DETECTED

        jobs: dict[Key, Job] = {}
        videos, unread = find_videos(source)
        skipped = []
        for file in videos:
            try:
                frames = max(Video.open(file.path).stated_frames, 1)
            except DataError as error:
                skipped.append((file.subject, file.sequence, -1, error.what))
                continue
            inputs = {"videos": fingerprint([(file.source, file.path)])}
            jobs[file.subject, file.sequence] = Job(partial(read_video, file, options.size), frames, inputs)
        if not jobs:
            raise DataError(f"no video in it can be decoded: {skipped[0][3]}", where=source, hint="convert the videos")
        return Jobs(jobs, DETECTED, [("", "", -1, f"{reason}, convert them") for reason in unread] + skipped)


VIDEO = VideoDataset()
