"""Conversion of a video of DISFA into a sequence of the store: crops and intensities."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store_writer import Allocate, Sequence, frame_table
from aubench.datasets.bp4d.labels import number_gaps
from aubench.datasets.bp4d.landmark_files import face_track, landmarks_in_crop
from aubench.datasets.disfa.disfa_files import DisfaFiles
from aubench.datasets.disfa.disfa_landmarks import read_disfa_landmarks
from aubench.datasets.disfa.intensities import AUS, FrameIntensities, read_all_intensities
from aubench.faces import face_detection
from aubench.faces.video_files import CountedFrames, Video, VideoFrame
from aubench.faces.visual_crops import crop_pictures

_TOLERANCE = 20  # frames by which video and labels may differ at their end: a second
_INTERVAL, _DETECTIONS, _FAR = 20, 9, 0.3  # frames between detections, their number, and their distance in sides
_NO_LABELS = FrameIntensities(1, np.empty((0, len(AUS)), np.int8))


@dataclass(frozen=True)
class Numbering:
    """Numbers of the first frame, decided for the whole delivery."""

    labels: int  # in label files
    landmarks: int | None  # in the names of landmark files; None if they are not used
    reason: str  # evidence


def read_sequence(files: DisfaFiles, camera: str, numbering: Numbering, size: int, allocate: Allocate) -> Sequence:
    """Convert a video into a sequence. Its frames count from 1.

    Args:
        files: Files of the subject, with a video.
        camera: ``left`` or ``right``, the name of the sequence.
        numbering: Numbers of the first frame.
        size: Height and width of the crops.
        allocate: Function that provides the array of the crops.

    Raises:
        DataError: A file is damaged, or video and labels differ in length by more than a second.
    """
    assert files.video is not None
    labels = read_all_intensities(files.labels) if files.labels else _NO_LABELS
    video = Video.open(files.video)
    decoded = CountedFrames(video, video.frames())
    points = None
    if numbering.landmarks is None:
        track, sources = face_detection.follow_face(decoded)
    else:
        detected = _detect_some(decoded)
        points = read_disfa_landmarks(files.landmarks, numbering.landmarks, decoded.count)
        track, sources = face_track(points), np.full(decoded.count, "landmarks")
        _check_positions(track, detected, files)
    skipped = _compare_lengths(decoded, labels)
    if numbering.landmarks is not None:
        skipped += _compare_landmarks({number - numbering.landmarks + 1 for number in files.landmarks}, decoded.count)
    numbers = np.arange(1, decoded.count + 1)
    without_face = np.isnan(track[:, 0])
    notes: dict[str, int | str] = {
        "frames": 0 if without_face.all() else len(numbers),
        "labelled": 0 if without_face.all() else min(len(labels.values), len(numbers)),
        "without_face": int(without_face.sum()),
        "frames_in_header": video.stated_frames,
        "labels_count_from": numbering.labels if files.labels else "",
        "landmarks_count_from": "" if numbering.landmarks is None else numbering.landmarks,
        "count_because": numbering.reason,
    }
    if without_face.all():
        skipped += [(number, "no face in the whole video") for number in numbers.tolist()]
        return Sequence(files.subject, camera, {}, _table(files, numbers[:0], labels), None, sorted(skipped), notes)
    images, squares, columns = crop_pictures(video.frames, track, sources, numbers, size, allocate)
    landmarks = None if points is None else landmarks_in_crop(points, squares)
    table = _table(files, numbers, labels).assign(**columns)
    return Sequence(files.subject, camera, {Modality.VISUAL: images}, table, landmarks, sorted(skipped), notes)


def _detect_some(frames: Iterable[VideoFrame]) -> dict[int, np.ndarray]:
    """Read all frames, and return the detected squares of a few by their index."""
    detected: dict[int, np.ndarray] = {}
    for index, frame in enumerate(frames):
        if index % _INTERVAL == 0 and len(detected) < _DETECTIONS:
            squares = face_detection.detect_squares(frame)
            if len(squares):
                detected[index] = squares
    return detected


def _check_positions(track: np.ndarray, detected: dict[int, np.ndarray], files: DisfaFiles) -> None:
    """Refuse points that are not where the face is, as those of another camera or recording.

    Raises:
        DataError: Most detections are far from the points.
    """
    distances = [
        np.hypot(*(squares[:, :2] - track[index, :2]).T).min() / track[index, 2]
        for index, squares in detected.items()
        if not np.isnan(track[index, 0])
    ]
    if distances and np.median(distances) > _FAR:
        what = f"the points of {files.subject} are not where its face is in this video"
        raise DataError(what, where=files.video, hint="give --landmarks of this --camera, or leave it out")


def _compare_lengths(decoded: CountedFrames, labels: FrameIntensities) -> list[tuple[int, str]]:
    """Return the numbers of frames with a label but without an image, and a remark on the reverse, with reasons."""
    video, frames, coded = decoded.video, decoded.count, len(labels.values)
    video.check_end(frames)
    if coded and coded != frames and decoded.gaps:
        raise decoded.gap_error()
    if coded and abs(frames - coded) > _TOLERANCE:
        what = f"has {frames} frames that can be decoded, and the label files code {coded}"
        raise DataError(what, where=video.path, hint="copy video and label files from the delivery again")
    skipped = [(number, "coded, but not in the video") for number in range(frames + 1, coded + 1)]
    if coded and frames > coded:
        skipped.append((-1, f"frames {coded + 1} to {frames} are not coded"))
    if frames < video.stated_frames:
        skipped.append((-1, f"the header of the video states {video.stated_frames} frames, {frames} can be decoded"))
    return skipped


def _compare_landmarks(numbers: set[int], frames: int) -> list[tuple[int, str]]:
    """Return remarks on frames without a landmark file, and on landmark files (numbered from 1) without a frame."""
    gaps = number_gaps([0, *sorted(numbers.intersection(range(1, frames + 1))), frames + 1])
    others = sorted(numbers.difference(range(1, frames + 1)))
    reasons = [f"no landmark file of frame {gap}" for gap in gaps]
    if others:
        reasons.append(f"{len(others)} landmark files, such as that of frame {others[0]}, belong to no video frame")
    return [(-1, reason) for reason in reasons]


def _table(files: DisfaFiles, numbers: np.ndarray, labels: FrameIntensities) -> pd.DataFrame:
    values = np.full((len(numbers), len(AUS)), -1, np.int8)
    coded = min(len(numbers), len(labels.values))
    values[:coded] = labels.values[:coded]
    assert files.video is not None
    return frame_table(numbers, "/".join(files.video.parts[-2:]), numbers <= coded, AUS, values)
