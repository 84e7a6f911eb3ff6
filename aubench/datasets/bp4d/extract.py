"""Conversion of a recording of the delivery into a sequence of the store: crops, depth maps and labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store_writer import Allocate, Sequence
from aubench.datasets.bp4d import crops, face_detection
from aubench.datasets.bp4d.depth import depth_map
from aubench.datasets.bp4d.images import Photo, reduction
from aubench.datasets.bp4d.labels import AUS, LabelFile, read_label_file
from aubench.datasets.bp4d.landmark_files import face_track, landmark_file, landmarks_in_crop, read_landmarks
from aubench.datasets.bp4d.layout import Instant, Recording, match
from aubench.datasets.bp4d.meshes import MeshEnding, check_endings, read_obj


@dataclass(frozen=True)
class ImageOptions:
    """Options that decide the images."""

    size: int  # height and width of every image
    depth: bool  # whether to project meshes
    landmarks: Path | None  # folder of the delivered 49-point files; None for the face detector


def _in_memory(kind: str, shape: tuple[int, ...], dtype: Any) -> Any:
    return np.zeros(shape, dtype)


def extract(recording: Recording, options: ImageOptions, allocate: Allocate = _in_memory) -> Sequence:
    """Convert a recording into a sequence.

    Args:
        recording: Files.
        options: Options.
        allocate: Function that provides the array of a modality (see :meth:`StoreWriter.open_arrays`); in memory by
            default.

    Raises:
        DataError: A file is damaged; the message names file and line.
    """
    codes = read_label_file(recording.label_file) if recording.label_file else _NO_LABELS
    instants, without_photo = match(recording, codes.frames, recording.offset)
    points = _points(recording, instants, options)
    track = (
        face_detection.track(Photo.read(instant.photo) for instant in instants)
        if points is None
        else face_track(points)
    )
    without_face = int(np.isnan(track[:, 0]).sum())
    skipped = [(-1, f"{name}: its name is not a number") for name in recording.unnumbered_files]
    skipped += [(frame, "coded, but without a photo") for frame in without_photo]
    if without_face == len(instants):
        skipped += [(instant.frame, "no face in the whole sequence") for instant in instants]
        instants = []
    squares = crops.smooth_track(track, np.array([instant.frame for instant in instants])) if instants else track[:0]
    images, no_depth = _images(instants, squares, options, allocate) if instants else ({}, {})
    skipped += [(frame, f"depth: {reason}") for frame, reason in no_depth.items()]
    table = _table(instants, codes, no_depth)
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
    }
    landmarks = landmarks_in_crop(points, squares) if instants and points is not None else None
    return Sequence(recording.subject, recording.sequence, images, table, landmarks, sorted(skipped), notes)


_NO_LABELS = LabelFile(np.empty(0, np.int32), np.empty((0, len(AUS)), np.int8))


def _points(recording: Recording, instants: list[Instant], options: ImageOptions) -> np.ndarray | None:
    if options.landmarks is None:
        return None
    path = landmark_file(options.landmarks, recording.subject, recording.sequence)
    return read_landmarks(path, [instant.frame for instant in instants])


def _images(
    instants: list[Instant], squares: np.ndarray, options: ImageOptions, allocate: Allocate
) -> tuple[dict[Modality, Any], dict[int, str]]:
    """Return images by modality, and the reasons for missing depth maps by frame."""
    size = options.size
    modalities = [Modality.VISUAL, Modality.DEPTH] if options.depth else [Modality.VISUAL]
    images = {m: allocate(m, (len(instants), size, size, m.channels), np.uint8) for m in modalities}
    no_depth, endings, first = {}, [], None
    for i, (instant, square) in enumerate(zip(instants, squares, strict=True)):
        photo = Photo.read(instant.photo)
        _check_size(photo, first := first or photo)
        factor = reduction(square[2], size)
        images[Modality.VISUAL][i] = crops.crop_square(
            photo.decode_rgb(factor), square / [factor, factor, factor, 1], size
        )
        if options.depth:
            depth: np.ndarray | str = "there is no mesh"
            if instant.mesh is not None:
                mesh = read_obj(instant.mesh)
                endings.append(MeshEnding.of(instant.mesh, mesh))
                depth = depth_map(mesh, (photo.height, photo.width), square, size)
            if isinstance(depth, str):
                no_depth[instant.frame] = depth
                depth = np.zeros((size, size, 1), np.uint8)
            images[Modality.DEPTH][i] = depth
    check_endings(endings)
    return images, no_depth


def _check_size(photo: Photo, first: Photo) -> None:
    """Refuse a photo of another size than the first, because the face is tracked in pixels."""
    if (photo.width, photo.height) != (first.width, first.height):
        what = f"has {photo.width} × {photo.height} pixels, {first.path.name} has {first.width} × {first.height}"
        hint = "copy the file from the delivery again, or remove it"
        raise DataError(what, where=photo.path, hint=hint)


def _table(instants: list[Instant], codes: LabelFile, no_depth: dict[int, str]) -> pd.DataFrame:
    frames = np.array([instant.frame for instant in instants], np.int32)
    coded = np.isin(frames, codes.frames)
    labels = np.full((len(frames), len(AUS)), -1, np.int8)
    labels[coded] = codes.labels[np.isin(codes.frames, frames)]
    return pd.DataFrame(
        {
            "frame": frames,
            # From the folder of the subject on, so that the path of the delivery stays private.
            "source": ["/".join(instant.photo.parts[-3:]) for instant in instants],
            "labelled": coded,
            "missing": [Modality.DEPTH.letter if frame in no_depth else "" for frame in frames.tolist()],
            **{f"AU{au}": labels[:, i] for i, au in enumerate(AUS)},
        }
    )
