"""Thermal images of BP4D+ in the crops of their photos."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aubench._util.zip_files import COPY_AGAIN
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store_writer import Allocate
from aubench.datasets.bp4d.extract import FurtherImages
from aubench.datasets.bp4dplus.colour_bar import LEGEND, invert_colours, read_colour_bar
from aubench.datasets.bp4dplus.infrared_points import HEIGHT, WIDTH, read_infrared_points, register, thermal_square
from aubench.faces.crops import crop_square, window
from aubench.faces.video_files import CountedFrames, Video, VideoFrame

_RATE = 25.0  # frames per second of the videos of BP4D+

MEANING = (
    "rendered temperature: position of the false colour on the colour bar of the same frame, 1 its lower and 255 its"
    " upper end, 0 outside the picture; not a temperature, and not comparable between frames"
)


COLOUR = "thermal_colour"
"""Kind of the array of false colours, uint8 (F, H, W, 3), RGB, black for a missing image."""


class ThermalFiles(NamedTuple):
    """Thermal video of a sequence and its points."""

    video: Path | None
    infrared: Path | None


def thermal_images(
    files: ThermalFiles,
    size: int,
    keep_colour: bool,
    frames: np.ndarray,
    points: np.ndarray,
    squares: np.ndarray,
    allocate: Allocate,
) -> FurtherImages:
    """Convert the thermal video of a sequence to images in the crops of its photos.

    Frame 1 is the first frame of the video and the first line of its points.

    Args:
        files: Files of the sequence.
        size: Height and width of the images.
        keep_colour: Whether to keep the false colours in an array :data:`COLOUR`.
        frames: (F,) ascending frame numbers.
        points: (F, 49, 2) points in the photos, NaN for unknown ones.
        squares: (F, 4) crops of the photos.
        allocate: Function that provides the array.

    Returns:
        Images, with the reason for each missing one.

    Raises:
        DataError: A file is damaged, or nothing decodes the video.
    """
    infrared = read_infrared_points(files.infrared) if files.infrared and files.video else None
    similarities, reasons = _registrations(files, infrared, frames, points)
    channels = {Modality.THERMAL.value: 1, **({COLOUR: 3} if keep_colour else {})}
    arrays = {kind: allocate(kind, (len(frames), size, size, n), np.uint8) for kind, n in channels.items()}
    video = files.video or Path()
    decoded = CountedFrames(Video(video, 0, _RATE), () if infrared is None else _frames(video))
    pictures, picture = iter(decoded), None
    for i, frame in enumerate(frames.tolist()):
        while decoded.count < frame and (picture := next(pictures, None)) is not None:
            pass
        images: list[np.ndarray] | str = reasons.get(frame, "the video ends before")
        if frame not in reasons and picture is not None and decoded.count == frame:
            images = _images(picture.decode_rgb(), thermal_square(squares[i], similarities[i]), size)
        if isinstance(images, str):
            reasons[frame] = images
            images = [np.zeros((size, size, n), np.uint8) for n in channels.values()]
        for array, image in zip(arrays.values(), images, strict=False):
            array[i] = image
    for _ in pictures:
        pass
    shown, lines = decoded.count, 0 if infrared is None else len(infrared)
    if decoded.gaps and shown != lines:
        raise decoded.gap_error()
    notes: dict[str, int | str] = {"thermal_frames": shown, "infrared_lines": lines, "without_thermal": len(reasons)}
    remarks = [f"the video has {shown} frames, the file of its points {lines} lines"] if shown != lines else []
    return FurtherImages(Modality.THERMAL, arrays.pop(Modality.THERMAL), reasons, remarks, notes, arrays)


def _registrations(
    files: ThermalFiles, infrared: np.ndarray | None, frames: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, dict[int, str]]:
    """Return the similarities of all frames, complex (F, 2), and reasons by frame without one."""
    if infrared is None:
        reason = "there are no infrared points" if files.video else "there is no video"
        return np.empty((len(frames), 2), complex), dict.fromkeys(frames.tolist(), reason)
    of_frame = np.full((len(frames), *infrared.shape[1:]), np.nan)
    there = (frames >= 1) & (frames <= len(infrared))
    of_frame[there] = infrared[frames[there] - 1]
    similarities, fits = register(of_frame, points)
    reasons = {}
    for i in np.flatnonzero(~fits):
        reason = "the infrared points do not fit the 49 points"
        if np.isnan(of_frame[i]).all():
            reason = "the infrared points are lost"
        elif np.isnan(points[i]).all():
            reason = "the 49 points are lost"
        reasons[int(frames[i])] = reason
    return similarities, reasons


def _images(picture: np.ndarray, square: np.ndarray, size: int) -> list[np.ndarray] | str:
    """Return the crops of a thermal picture in grey and in its colours, or the reason why there is none."""
    bar = read_colour_bar(picture)
    if bar is None:
        return "the video frame has no colour bar"
    part, square = window(picture[:, :LEGEND], square, size)
    grey = invert_colours(part, bar)
    if grey is None:
        return "the colours are not those of the colour bar"
    image = crop_square(grey, square, size)[..., None]
    return [image, crop_square(part, square, size)] if image.any() else "the face is outside the thermal picture"


def _frames(path: Path) -> Iterator[VideoFrame]:
    """Decode a thermal video, whose frames have 726 × 480 pixels, by OpenCV, or by PyAV if that has no decoder."""
    try:
        video = Video.open(path)
    except DataError as error:
        frames = decode_by_pyav(path, error)
    else:
        frames = decode_by_opencv(video)
    for frame in frames:
        height, width = frame.pixels.shape[:2]
        if (height, width) != (HEIGHT, WIDTH):
            what = f"has {width} × {height} pixels, the videos of BP4D+ have {WIDTH} × {HEIGHT}"
            raise DataError(what, where=path, hint=COPY_AGAIN)
        yield frame


def decode_by_opencv(video: Video) -> Iterator[VideoFrame]:
    """Decode all frames.

    Raises:
        DataError: The video is cut short.
    """
    count = 0
    for count, frame in enumerate(video.frames(), 1):  # noqa: B007
        yield frame
    video.check_end(count)


def decode_by_pyav(path: Path, error: DataError) -> Iterator[VideoFrame]:
    """Decode all frames of a video after an error of OpenCV.

    Raises:
        DataError: PyAV is not installed or does not decode the video either, or the video is cut short.
    """
    try:
        import av  # an extra: most builds of OpenCV decode the videos
    except ImportError:
        hint = f"{COPY_AGAIN}, or pip install 'aubench[thermal]' for another decoder"
        raise DataError("OpenCV cannot decode the video, and PyAV is not installed", where=path, hint=hint) from error
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    count = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            start = float((stream.start_time or 0) * (stream.time_base or 0))
            for frame in container.decode(stream):
                yield VideoFrame(frame.to_ndarray(format="bgr24"), 1000 * ((frame.time or start) - start))
                count += 1
    except (av.FFmpegError, IndexError) as other:
        if not count:
            raise error from other
        raise DataError(
            f"is damaged after {count} frames", where=path, hint="copy it from the delivery again"
        ) from None
    Video(path, 0, 0.0).check_end(count)
