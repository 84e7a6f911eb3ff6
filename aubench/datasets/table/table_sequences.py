"""Conversion of the frames of a manifest into a sequence of the store: crops and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from aubench.core import landmarks
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store_writer import Allocate, Sequence, frame_table
from aubench.datasets.bp4d.landmark_files import landmarks_in_crop, square_around
from aubench.datasets.file_search import printable
from aubench.datasets.table.manifest import STILLS, ManifestFrame
from aubench.datasets.table.picture_files import PictureReader, ValueRanges, convert
from aubench.faces import crops, face_detection
from aubench.faces.video_files import VideoFrame

_SAME_SHAPE = 0.01  # relative difference of height to width up to which two images show the same scene


@dataclass(frozen=True)
class TableSettings:
    """Settings for all sequences."""

    root: Path  # folder that sources are relative to
    modalities: tuple[Modality, ...]
    aus: tuple[int, ...]
    size: int  # height and width of every image
    crop: bool  # whether to crop the face
    ranges: ValueRanges
    has_points: bool  # whether the store has landmarks


def read_frames(
    subject: str, sequence: str, frames: list[ManifestFrame], settings: TableSettings, allocate: Allocate
) -> Sequence:
    """Convert the frames of a sequence.

    Args:
        subject: Name of the subject.
        sequence: Name of the sequence.
        frames: Frames in order of their numbers.
        settings: Settings.
        allocate: Function that provides the arrays.

    Raises:
        DataError: A file is damaged, or an image does not fit the others.
    """
    pass_one = _FirstPass(frames, settings, is_still=sequence == STILLS)
    track, sources = pass_one.locate() if settings.crop else (None, None)
    skipped, usable = pass_one.skipped, pass_one.usable()
    without_face = 0
    if track is not None:
        if sequence == STILLS and Modality.VISUAL in settings.modalities:
            unseen = [i for i in usable if not _has_visual(frames[i], pass_one.gone)]
            track[unseen] = np.nan  # places are in pixels of the visual image
        without_face = int(np.isnan(track[usable, 0]).sum())
        usable, reasons = _with_face(frames, usable, track, sequence)
        skipped += reasons
    chosen = [frames[i] for i in usable]
    squares: np.ndarray | None = None
    columns: dict[str, np.ndarray] = {}
    if track is not None and sources is not None and chosen:
        squares, columns = _squares(track[usable], sources[usable], chosen, sequence == STILLS)
    images, missing, points = _images(chosen, squares, pass_one.gone, settings, allocate, sequence == STILLS)
    table = _table(chosen, missing, settings).assign(**columns)
    notes: dict[str, int | str] = {
        "frames": len(chosen),
        "labelled": int(table["labelled"].sum()),
        "without_face": without_face,
    }
    return Sequence(subject, sequence, images, table, points if chosen else None, sorted(skipped), notes)


class _FirstPass:
    """First reading of a sequence: frames that videos lack, and the place of the face."""

    def __init__(self, frames: list[ManifestFrame], settings: TableSettings, *, is_still: bool) -> None:
        self.frames, self._settings, self._is_still = frames, settings, is_still
        self.gone: set[tuple[int, Modality]] = set()  # number and modality of frames that videos lack
        self.skipped: list[tuple[int, str]] = []
        self._seen: list[int] = []  # frames with a visual picture
        self._detects = settings.crop and (is_still or not any(frame.has_place for frame in frames))
        self._track, self._sources = self._follow(self._pictures())

    def _pictures(self) -> Iterator[VideoFrame]:
        """Read frames of all videos and visual image files, and yield those in which a face must be detected."""
        readers = {m: PictureReader() for m in self._settings.modalities}
        for i, frame in enumerate(self.frames):
            for modality, picture in frame.pictures.items():
                is_needed = self._detects and modality is Modality.VISUAL and not frame.has_place
                if picture.frame_index is None and not is_needed:
                    continue
                reader = readers[modality]
                image = reader.read(picture, modality) if is_needed else None
                is_there = image is not None if is_needed else reader.has(picture)
                if not is_there:
                    self.gone.add((frame.number, modality))
                    self.skipped.append((frame.number, f"{modality}: not in the video {picture.path.name}"))
                elif image is not None:
                    rgb = convert(image, modality, self._settings.ranges, picture.path)
                    self._seen.append(i)
                    yield VideoFrame(rgb[..., ::-1], 0)
        for reader in readers.values():
            reader.check_rest()

    def _follow(self, pictures: Iterable[VideoFrame]) -> tuple[np.ndarray, np.ndarray]:
        track, sources = np.full((len(self.frames), 4), np.nan), np.full(len(self.frames), "", "U16")
        if self._is_still or not self._detects:
            detected = [face_detection.follow_face([picture]) for picture in pictures]
            squares = np.concatenate([square for square, _ in detected]) if detected else np.empty((0, 4))
            names = np.concatenate([name for _, name in detected]) if detected else np.empty(0, "U16")
        else:
            squares, names = face_detection.follow_face(pictures)
        track[self._seen], sources[self._seen] = squares, names
        return track, sources

    def locate(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the square of each frame (F, 4), NaN without, and its source (F,)."""
        track, sources = self._track, self._sources
        for i, frame in enumerate(self.frames):
            if frame.points is not None:
                track[i], sources[i] = square_around(frame.points), "landmarks"
            elif frame.box:
                left, top, right, bottom = frame.box
                track[i] = (left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top), 0
                sources[i] = "box"
        return track, sources

    def usable(self) -> list[int]:
        """Return the rows of the frames with an image."""
        return [
            i for i, frame in enumerate(self.frames) if any((frame.number, m) not in self.gone for m in frame.pictures)
        ]


def _with_face(
    frames: list[ManifestFrame], usable: list[int], track: np.ndarray, sequence: str
) -> tuple[list[int], list[tuple[int, str]]]:
    """Return the rows of the frames that can be cropped, and number and reason of the others."""
    has_face = ~np.isnan(track[:, 0])
    if sequence != STILLS:
        if has_face[usable].any():
            return usable, []
        return [], [(frames[i].number, "no face in the whole sequence") for i in usable]
    without = [i for i in usable if not has_face[i]]
    return [i for i in usable if has_face[i]], [(frames[i].number, _no_face(frames[i])) for i in without]


def _no_face(frame: ManifestFrame) -> str:
    return "a box or landmarks without their visual image" if frame.has_place else "no face"


def _has_visual(frame: ManifestFrame, gone: set[tuple[int, Modality]]) -> bool:
    return Modality.VISUAL in frame.pictures and (frame.number, Modality.VISUAL) not in gone


def _squares(
    track: np.ndarray, sources: np.ndarray, frames: list[ManifestFrame], is_still: bool
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    if is_still:
        return track, {"crop_source": sources, "crop_score": np.full(len(track), 100, np.int8)}
    numbers = np.array([frame.number for frame in frames])
    squares = crops.smooth_track(track, numbers)
    columns = crops.crop_columns(track, sources, squares, numbers)
    starts = np.flatnonzero(np.diff(numbers) > crops.GAP) + 1
    for rows in np.split(np.arange(len(frames)), starts) if len(starts) else ():
        if not np.isnan(track[rows, 0]).all():
            squares[rows] = crops.smooth_track(track[rows], numbers[rows])
            for name, values in crops.crop_columns(track[rows], sources[rows], squares[rows], numbers[rows]).items():
                columns[name][rows] = values
    return squares, columns


def _images(
    frames: list[ManifestFrame],
    squares: np.ndarray | None,
    gone: set[tuple[int, Modality]],
    settings: TableSettings,
    allocate: Allocate,
    is_still: bool,
) -> tuple[dict[Modality, Any], list[str], np.ndarray | None]:
    """Return images by modality, letters of missing modalities of each frame, and landmarks in the images."""
    size, missing, points = settings.size, [], []
    if not frames:
        return {}, [], None
    images = {m: allocate(m, (len(frames), size, size, m.channels), np.uint8) for m in settings.modalities}
    readers = {m: PictureReader() for m in settings.modalities}
    is_needed = not is_still and (squares is not None or settings.has_points)
    of_sequence = _visual_shape(frames, gone) if is_needed else None
    for i, frame in enumerate(frames):
        has_visual = _has_visual(frame, gone)
        scene, letters = None if squares is None and has_visual else of_sequence, ""
        for modality in settings.modalities:
            picture = frame.pictures.get(modality)
            image = None
            if picture is not None and (frame.number, modality) not in gone:
                image = readers[modality].read(picture, modality)
            if picture is None or image is None:
                letters += modality.letter
                images[modality][i] = np.zeros((size, size, modality.channels), np.uint8)
                continue
            pixels = convert(image, modality, settings.ranges, picture.path)
            if squares is None:
                scene = scene or pixels.shape[:2]
                images[modality][i] = _resized(pixels, size, modality, picture.path)
            else:
                scene = _check_scene(pixels, modality, scene, picture.path)
                of_sequence = of_sequence if is_still else scene
                scale = pixels.shape[1] / scene[1]
                square = squares[i] * [scale, scale, scale, 1]
                _check_square(square, pixels, picture.path)
                images[modality][i] = _cropped(pixels, square, size, modality)
        missing.append(letters)
        assert scene is not None
        knows_pixels = has_visual or not is_still or Modality.VISUAL not in settings.modalities
        square = None if squares is None else squares[i]
        points.append(_points(frame if knows_pixels else frame._replace(points=None), square, scene))
    return images, missing, np.stack(points) if settings.has_points else None


def _visual_shape(frames: list[ManifestFrame], gone: set[tuple[int, Modality]]) -> tuple[int, int] | None:
    """Return height and width of the first visual image, which squares and landmarks refer to; None without any."""
    for frame in frames:
        picture = frame.pictures.get(Modality.VISUAL)
        if picture is not None and _has_visual(frame, gone):
            first = picture if picture.frame_index is None else picture._replace(frame_index=0)
            image = PictureReader().read(first, Modality.VISUAL)
            return None if image is None else (image.shape[0], image.shape[1])
    return None


def _check_scene(pixels: np.ndarray, modality: Modality, scene: tuple[int, int] | None, path: Path) -> tuple[int, int]:
    """Refuse a visual image of another size than those before, and another modality of another shape."""
    height, width = pixels.shape[:2]
    if scene is None:
        return height, width
    is_same = (height, width) == scene if modality is Modality.VISUAL else True
    if not is_same or abs(height / width / (scene[0] / scene[1]) - 1) > _SAME_SHAPE:
        what = f"has {width} × {height} pixels, and other images of the sequence have {scene[1]} × {scene[0]}"
        raise DataError(what, where=path, hint="align the images, or crop them yourself and give --no-crop")
    return scene


def _check_square(square: np.ndarray, pixels: np.ndarray, path: Path) -> None:
    """Refuse a crop (centre column and row, side, angle) outside of its image, or of more than twice its size."""
    height, width = pixels.shape[:2]
    column, row, side = square[:3]
    hint = "write boxes and landmarks in pixels of the visual image"
    if abs(column - width / 2) >= (width + side) / 2 or abs(row - height / 2) >= (height + side) / 2:
        what = f"the face is at column {column:.0f} and row {row:.0f}, outside of its {width} × {height} pixels"
        raise DataError(what, where=path, hint=hint)
    if side > 2 * max(height, width):
        raise DataError(f"the face is {side:.0f} pixels large, and the image {width} × {height}", where=path, hint=hint)


def _resized(pixels: np.ndarray, size: int, modality: Modality, path: Path) -> np.ndarray:
    height, width = pixels.shape[:2]
    if height != width:
        what = f"has {width} × {height} pixels, and --no-crop takes square images"
        raise DataError(what, where=path, hint="crop the images to squares, or leave --no-crop out")
    if height == size:
        return pixels
    kind = cv2.INTER_AREA if height > size else cv2.INTER_LINEAR
    return _interpolated(pixels, modality, lambda image: cv2.resize(image, (size, size), interpolation=kind))


def _cropped(pixels: np.ndarray, square: np.ndarray, size: int, modality: Modality) -> np.ndarray:
    return _interpolated(pixels, modality, lambda image: crops.crop_square(image, square, size))


def _interpolated(
    pixels: np.ndarray, modality: Modality, interpolate: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Crop or resize an image to (S, S, C); unknown depth, 0, does not blur into its surroundings."""
    image = interpolate(pixels)
    image = image.reshape(*image.shape[:2], -1)
    if modality not in (Modality.DEPTH, Modality.THERMAL) or pixels.all():
        return image
    known = interpolate(np.where(pixels > 0, 255, 0).astype(np.uint8)).reshape(image.shape)
    value = np.rint(image * (255 / np.maximum(known, 128))).clip(0, 255)
    return np.where(known >= 128, value, 0).astype(np.uint8)


def _points(frame: ManifestFrame, square: np.ndarray | None, scene: tuple[int, int]) -> np.ndarray:
    """Return the landmarks of a frame in its image, float32 (49, 2), NaN if unknown."""
    if frame.points is None:
        return np.full((landmarks.COUNT, 2), np.nan, np.float32)
    if square is not None:
        return np.asarray(landmarks_in_crop(frame.points[None], square[None])[0])
    return np.asarray(frame.points / [scene[1], scene[0]], np.float32)


def _table(frames: list[ManifestFrame], missing: list[str], settings: TableSettings) -> pd.DataFrame:
    labels = np.array([frame.labels for frame in frames], np.int8).reshape(len(frames), len(settings.aus))
    numbers = [frame.number for frame in frames]
    sources = [source_of(frame.pictures, settings.root) for frame in frames]
    return frame_table(numbers, sources, (labels >= 0).any(axis=1), settings.aus, labels, missing)


def source_of(pictures: Mapping[Modality, Any], root: Path) -> str:
    """Return the path of a frame's first image relative to the root, or its last parts, so that no user is named."""
    path: Path = next(iter(pictures.values())).path
    return printable(path.relative_to(root).as_posix() if path.is_relative_to(root) else "/".join(path.parts[-3:]))
