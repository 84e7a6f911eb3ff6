"""Search for videos below a folder, and conversion of a video into a sequence without labels."""

from __future__ import annotations

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store_writer import Allocate, Sequence, frame_table
from aubench.datasets.file_search import files_below, printable
from aubench.datasets.person_names import store_name
from aubench.faces import crops, face_detection
from aubench.faces.video_files import COUNTED, EXTENSIONS, CountedFrames, Video, VideoFrame
from aubench.faces.visual_crops import crop_pictures

_LONGEST = 200  # letters of a name, as disks allow 255 for a file with its extension and temporary ending
_OTHER = re.compile(r"\.(3gp|asf|divx|f4v|flv|m2ts|mjpe?g|mpeg|mts|mxf|ogv|rm|rmvb|ts|vob)")  # extensions not read
_LISTED = 3  # places of lost frames that are named
_FARTHEST = 25  # frames from the nearest detection of the face, up to which a frame is stored


@dataclass(frozen=True)
class VideoFile:
    """A video and its names in the store."""

    subject: str
    sequence: str
    path: Path
    source: str  # path below the folder of the delivery


def find_videos(source: Path) -> tuple[list[VideoFile], list[str]]:
    """Find all videos below a folder.

    The subject is the first folder of a video's path, and the sequence is the rest. A video without a folder is a
    subject of its own. Letters that names of files in a store do not have become ``-``.

    Returns:
        Videos in order of their names, and names and reasons of videos that are not read.

    Raises:
        DataError: The folder does not exist, cannot be read or has no video, a name is too long, two people or two
            videos get one name, or a video is there under two names.
    """
    if not source.is_dir():
        raise DataError("no such folder", where=source, hint="give a folder with videos")
    videos: dict[tuple[str, str], VideoFile] = {}
    people: dict[str, str] = {}
    sources: dict[str, str] = {}  # by path without links
    others: dict[str, list[str]] = defaultdict(list)
    for path in files_below(source):
        if _OTHER.fullmatch(path.suffix.lower()):
            others[path.suffix.lower()].append(printable(path.relative_to(source).as_posix()))
        if path.suffix.lower() in EXTENSIONS:
            relative = path.relative_to(source)
            first, *rest = relative.with_suffix("").parts
            subject, sequence = store_name([first]), store_name(rest) if rest else "video"
            if len(name := max(subject, sequence, key=len)) > _LONGEST:
                what = f"has a name of {len(name)} letters in the store, {name[:20]}…, and {_LONGEST} are possible"
                raise DataError(what, where=path, hint="rename the file or its folders")
            if people.setdefault(subject, first) != first:
                what = f"{printable(first)} has the name {subject} in the store, as {printable(people[subject])} has"
                raise DataError(what, where=path, hint="rename one of the two")
            video = VideoFile(subject, sequence, path, printable(relative.as_posix()))
            if (same := sources.setdefault(os.path.realpath(path), video.source)) != video.source:
                hint = "keep one of the two, in the folder of its person"
                raise DataError(f"is the same file as {same}", where=path, hint=hint)
            other = videos.setdefault((subject, sequence), video)
            if other is not video:
                what = f"has the name {subject} {sequence} in the store, as {other.source}"
                raise DataError(what, where=path, hint="rename one of the two")
    if not videos:
        hint = f"known extensions are {', '.join(sorted(EXTENSIONS))}"
        raise DataError("no video in it", where=source, hint=hint)
    unread = [f"{len(names)} files like {min(names)}: {suffix} is not read" for suffix, names in sorted(others.items())]
    return [videos[key] for key in sorted(videos)], unread


def read_video(file: VideoFile, size: int, allocate: Allocate) -> Sequence:
    """Convert a video into a sequence without labels; its frames count from 1.

    Frames further than a second from the nearest detection of the face are left out.

    Args:
        file: Video.
        size: Height and width of the crops.
        allocate: Function that provides the array of the crops.

    Raises:
        DataError: The video cannot be opened any more.
    """
    video = Video.open(file.path)
    decoded = CountedFrames(video, video.frames())
    track, sources = face_detection.follow_face(decoded)
    numbers = np.arange(1, len(track) + 1)
    near = crops.frames_to_detection(track, numbers) <= _FARTHEST
    skipped = [(-1, f"frames {first} to {last}: no face within a second") for first, last in _ranges(~near)]
    skipped += [(-1, what) for what in _lost_frames(decoded)]
    notes: dict[str, int | str] = {
        "frames": int(near.sum()),
        "labelled": 0,
        "without_face": int(np.isnan(track[near, 0]).sum()),
    }
    table = frame_table(numbers[near], file.source, False, (), np.empty((int(near.sum()), 0)))
    if not near.any():
        return Sequence(file.subject, file.sequence, {}, table, None, skipped, notes)

    def frames() -> Iterator[VideoFrame]:
        return itertools.compress(video.frames(), near)

    images, _, columns = crop_pictures(frames, track[near], sources[near], numbers[near], size, allocate)
    return Sequence(
        file.subject, file.sequence, {Modality.VISUAL: images}, table.assign(**columns), None, skipped, notes
    )


def _lost_frames(decoded: CountedFrames) -> Iterator[str]:
    """Yield why a video has fewer frames than its header states, and after which frames some are missing."""
    video, count, gaps = decoded.video, decoded.count, decoded.losses
    try:
        video.check_end(count)
    except DataError as error:
        yield error.what
        return
    if gaps or (count < video.stated_frames and video.path.suffix.lower() in COUNTED):
        more = f" and {len(gaps) - _LISTED} others" if len(gaps) > _LISTED else ""
        places = f": some are missing after frame {', '.join(map(str, gaps[:_LISTED]))}{more}" if gaps else ""
        yield f"the header of the video states {video.stated_frames} frames, {count} can be decoded{places}"


def _ranges(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and last number, counted from 1, of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(first + 1, last) for first, last in edges.reshape(-1, 2).tolist()]
