"""Conversion of a recording of the delivery into a sequence of the store: crops, depth maps and labels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from aubench.core import landmarks as landmark_layout
from aubench.core.task import Modality
from aubench.data.store_writer import Allocate, Sequence, frame_table
from aubench.datasets.bp4d.labels import AUS, LabelFile, read_label_file
from aubench.datasets.bp4d.landmark_files import face_track, landmark_file, landmarks_in_crop, read_landmarks
from aubench.datasets.bp4d.layout import Instant, Recording, match
from aubench.faces import crops, face_detection
from aubench.faces.depth import LocatedMesh, depth_map, locate
from aubench.faces.face_tracker import FaceTracker
from aubench.faces.images import Photo, check_same_size, reduction
from aubench.faces.meshes import MeshEnding, check_endings, read_obj

_CHUNK = 8  # frames between two attempts to write crops
_MAX_WAITING = 64  # frames in memory at most; older ones are read again


@dataclass(frozen=True)
class ImageOptions:
    """Options that decide the images."""

    size: int  # height and width of every image
    depth: bool  # whether to project meshes
    landmarks: Path | None  # folder of the delivered 49-point files; None for meshes and face detector
    detects_others: bool = False  # whether sequences without such a file are read by meshes and face detector


class FurtherImages(NamedTuple):
    """Images of another modality in the crops of a sequence."""

    modality: Modality
    images: Any  # array as returned by ``allocate``
    missing: dict[int, str]  # reason by frame without an image
    remarks: list[str]  # of the whole sequence
    notes: dict[str, int | str]  # for ``sequences.csv``
    others: dict[str, Any]  # further arrays by name

    def skipped(self, frames: int) -> list[tuple[int, str]]:
        """Return rows for ``skipped.csv``, one for all if a reason holds for all of the frames."""
        reasons = set(self.missing.values())
        whole = sorted(reasons) if len(reasons) == 1 and len(self.missing) == frames else []
        rows = [(-1, reason) for reason in [*self.remarks, *whole]]
        rows += [] if whole else self.missing.items()
        return [(frame, f"{self.modality}: {reason}") for frame, reason in rows]


Further = Callable[[np.ndarray, np.ndarray, np.ndarray, Allocate], FurtherImages]
"""Function of frame numbers (F,), points (F, 49, 2), squares (F, 4) and ``allocate``."""


def _in_memory(kind: str, shape: tuple[int, ...], dtype: Any) -> Any:
    return np.zeros(shape, dtype)


def extract(
    recording: Recording, options: ImageOptions, allocate: Allocate = _in_memory, further: Further | None = None
) -> Sequence:
    """Convert a recording into a sequence.

    Args:
        recording: Files.
        options: Options.
        allocate: Function that provides the array of a modality (see :meth:`StoreWriter.open_arrays`); in memory by
            default.
        further: Function that provides the images of another modality.

    Raises:
        DataError: A file is damaged; the message names file and line.
    """
    codes = read_label_file(recording.label_file) if recording.label_file else _NO_LABELS
    instants, without_photo = match(recording, codes.frames)
    points = _points(recording, instants, options)
    faces = _Faces.empty(instants)
    if points is not None:
        faces.fill(face_track(points), "landmarks")
    elif not any(instant.mesh for instant in instants):
        faces.fill(*face_detection.follow_face(Photo.read(instant.photo) for instant in instants))
    images, squares, no_depth = _images(instants, faces, options, allocate)
    without_face = int(np.isnan(faces.track[:, 0]).sum())
    skipped = [(-1, f"{name}: its name is not a number") for name in recording.unnumbered_files]
    skipped += [(frame, "coded, but without a photo") for frame in without_photo]
    if without_face == len(instants):
        skipped += [(instant.frame, "no face in the whole sequence") for instant in instants]
        instants = []
    skipped += [(frame, f"depth: {reason}") for frame, reason in no_depth.items()]
    other = further(faces.frames, _known(points, faces.frames), squares, allocate) if further and instants else None
    table = _table(instants, codes, no_depth, other)
    if other is not None:
        images[other.modality] = other.images
        skipped += other.skipped(len(instants))
    if instants:
        table = table.assign(**crops.crop_columns(faces.track, faces.sources, squares, faces.frames))
    notes: dict[str, int | str] = {
        "photos": len(recording.photos),
        "frames": len(instants),
        "labelled": int(table["labelled"].sum()),
        "without_face": without_face,
        "without_mesh": len(no_depth),
        "coded_without_photo": len(without_photo),
        "codes": recording.label_file.name if recording.label_file else "none",
        "offset": recording.offset,
        "offset_because": recording.offset_reason,
        **(other.notes if other else {}),
    }
    landmarks = None
    if instants and options.landmarks:
        landmarks = landmarks_in_crop(_known(points, faces.frames), squares)
    others = other.others if other else {}
    return Sequence(recording.subject, recording.sequence, images, table, landmarks, sorted(skipped), notes, others)


_NO_LABELS = LabelFile(np.empty(0, np.int32), np.empty((0, len(AUS)), np.int8))


def _points(recording: Recording, instants: list[Instant], options: ImageOptions) -> np.ndarray | None:
    if options.landmarks is None:
        return None
    path = landmark_file(options.landmarks, recording.subject, recording.sequence)
    if options.detects_others and not path.is_file():
        return None
    return read_landmarks(path, [instant.frame for instant in instants])


def _known(points: np.ndarray | None, frames: np.ndarray) -> np.ndarray:
    return np.full((len(frames), landmark_layout.COUNT, 2), np.nan) if points is None else points


class _Faces(NamedTuple):
    """Faces of a sequence."""

    frames: np.ndarray  # (F,) frame numbers
    track: np.ndarray  # (F, 4) squares as detected, NaN without a face
    sources: np.ndarray  # (F,) source of each square

    @staticmethod
    def empty(instants: list[Instant]) -> _Faces:
        frames = np.array([instant.frame for instant in instants])
        return _Faces(frames, np.full((len(frames), 4), np.nan), np.full(len(frames), "", "U16"))

    def fill(self, track: np.ndarray, sources: np.ndarray | str) -> None:
        self.track[:], self.sources[:] = track, sources


def _images(
    instants: list[Instant], faces: _Faces, options: ImageOptions, allocate: Allocate
) -> tuple[dict[Modality, Any], np.ndarray, dict[int, str]]:
    """Return images by modality and squares, none without any face, and the reasons for missing depth maps by frame."""
    size = options.size
    modalities = [Modality.VISUAL, Modality.DEPTH] if options.depth else [Modality.VISUAL]
    images: dict[Modality, Any] = {}
    squares, no_depth, endings, first = np.empty((len(instants), 4)), {}, [], None
    for i, (frame, square) in enumerate(_crops(instants, faces)):
        photo = frame.photo
        check_same_size(photo, first := first or photo)
        if not images:
            images = {m: allocate(m, (len(instants), size, size, m.channels), np.uint8) for m in modalities}
        squares[i] = square
        factor = reduction(square[2], size)
        images[Modality.VISUAL][i] = crops.crop_square(
            photo.decode_rgb(factor), square / [factor, factor, factor, 1], size
        )
        if options.depth:
            endings += [frame.mesh_ending] if frame.mesh_ending else []
            depth = frame.mesh if isinstance(frame.mesh, str) else depth_map(frame.mesh, square, size)
            if isinstance(depth, str):
                no_depth[instants[i].frame] = depth
                depth = np.zeros((size, size, 1), np.uint8)
            images[Modality.DEPTH][i] = depth
    check_endings(endings)
    return images, squares, no_depth


class _Frame(NamedTuple):
    """Files of a frame."""

    photo: Photo
    mesh: LocatedMesh | str  # the reason if there is no mesh in the photo
    mesh_ending: MeshEnding | None  # of the mesh file

    @staticmethod
    def read(instant: Instant) -> _Frame:
        photo = Photo.read(instant.photo)
        if instant.mesh is None:
            return _Frame(photo, "there is no mesh", None)
        mesh = read_obj(instant.mesh)
        return _Frame(photo, locate(mesh, (photo.height, photo.width)), MeshEnding.of(instant.mesh, mesh))


def _crops(instants: list[Instant], faces: _Faces) -> Iterator[tuple[_Frame, np.ndarray]]:
    """Yield each frame and its smoothed square, none without any face.

    Unless the track is filled, it is filled on the way, and a frame is yielded when later frames cannot change it.
    Every file is therefore read once.
    """
    frames, track, _ = faces
    if not np.isnan(track).all():
        yield from zip(map(_Frame.read, instants), crops.smooth_track(track, frames), strict=True)
        return
    if (faces.sources == "landmarks").any() or not any(instant.mesh for instant in instants):  # there is no face
        return
    tracker, waiting, done = FaceTracker(), deque[_Frame | None](), 0
    growing = crops.GrowingTrack(track, frames)
    for end, instant in enumerate(instants, 1):
        frame = _Frame.read(instant)
        located = None if isinstance(frame.mesh, str) else frame.mesh
        track[end - 1], faces.sources[end - 1] = tracker.locate(frame.photo, located)
        waiting.append(frame)
        if len(waiting) > _MAX_WAITING:
            waiting[-_MAX_WAITING - 1] = None
        for square in growing.next_squares(end) if end % _CHUNK == 0 or end == len(instants) else ():
            yield waiting.popleft() or _Frame.read(instants[done]), square
            done += 1


def _table(
    instants: list[Instant], codes: LabelFile, no_depth: dict[int, str], other: FurtherImages | None
) -> pd.DataFrame:
    absent = [(Modality.DEPTH, no_depth), *([(other.modality, other.missing)] if other else [])]
    frames = np.array([instant.frame for instant in instants], np.int32)
    coded = np.isin(frames, codes.frames)
    labels = np.full((len(frames), len(AUS)), -1, np.int8)
    labels[coded] = codes.labels[np.isin(codes.frames, frames)]
    # From the folder of the subject on, so that the path of the delivery stays private.
    sources = ["/".join(instant.photo.parts[-3:]) for instant in instants]
    missing = ["".join(m.letter for m, reasons in absent if frame in reasons) for frame in frames.tolist()]
    return frame_table(frames, sources, coded, AUS, labels, missing)
