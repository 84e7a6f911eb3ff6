"""Images of a manifest: decoding of files and video frames, and conversion to the channels of a modality."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.datasets.table.table_paths import Picture
from aubench.faces import opencv_log
from aubench.faces.images import Photo, check_pixels, read_content
from aubench.faces.video_files import COUNTED, CountedFrames, Video, VideoFrame

_AGAIN = "write or copy the file again, or leave its cell empty"
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = {".jpg", ".jpeg"}
_TOLERANCE = 20  # frames that a video may have less than its header states, or than its rows name
_COMPRESSED = 8  # difference of the channels of grey up to which a codec with loss explains it
_ANY = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH  # both are turned by their EXIF orientation, so that images agree
_COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH


class ValueRanges(NamedTuple):
    """Nearest and farthest depth, and lowest and highest temperature, in the units of 16-bit images."""

    depth: tuple[float, float] | None
    thermal: tuple[float, float] | None


def read_image(path: Path, flags: int = _ANY) -> np.ndarray:
    """Decode an image file and check that it is complete.

    Returns:
        (H, W) or (H, W, 3), blue first, uint8 or uint16.

    Raises:
        DataError: The file cannot be read, is too large, is cut short, or cannot be decoded.
    """
    data = Photo.read(path).data if path.suffix.lower() in _JPEG else read_content(path, _AGAIN)
    if data.startswith(_PNG):
        check_pixels(path, int.from_bytes(data[16:20]), int.from_bytes(data[20:24]), _AGAIN)
    if _is_cut(data):
        raise DataError("is cut short or damaged", where=path, hint=_AGAIN)
    try:
        with opencv_log.silent():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise DataError("cannot be decoded", where=path, hint=_AGAIN)
    return np.asarray(image)


def _is_cut(data: bytes) -> bool:
    """Return whether a PNG, BMP or WebP file is shorter than it states, or a block of a PNG is damaged."""
    if data.startswith(b"BM"):
        return len(data) < int.from_bytes(data[2:6], "little")
    if data.startswith(b"RIFF"):
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if not data.startswith(_PNG):
        return False
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4]) or len(data) < end + 4:
            return True
        if data[at + 4 : at + 8] == b"IEND":
            return False
        at = end + 4
    return True


class PictureReader:
    """Reader of pictures in ascending order of video frames; each video is decoded once."""

    def __init__(self) -> None:
        self._decoded: CountedFrames | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._wanted: set[int] = set()  # frames whose pixels are needed

    def read(self, picture: Picture, modality: Modality) -> np.ndarray | None:
        """Decode a picture; None for a frame that the video does not have.

        Returns:
            (H, W) or (H, W, C), blue first, uint8 or uint16.

        Raises:
            DataError: The file is damaged, or the video lacks a frame and may have lost an earlier one.
        """
        if picture.frame_index is None:
            return read_image(picture.path, _COLOUR if modality is Modality.VISUAL else _ANY)
        frame = self._find(picture.path, picture.frame_index, is_wanted=True)
        return None if frame is None else frame.pixels

    def has(self, picture: Picture) -> bool:
        """Return whether the video of a picture has its frame, as :meth:`read` without its pixels."""
        return picture.frame_index is None or self._find(picture.path, picture.frame_index, is_wanted=False) is not None

    def _find(self, path: Path, index: int, *, is_wanted: bool) -> VideoFrame | None:
        decoded = self._decoded
        if decoded is None or path != decoded.video.path or index < decoded.count:
            self.check_rest()
            video, self._wanted = Video.open(path), set()
            self._decoded = decoded = CountedFrames(video, video.frames(self._wanted))
            self._frames = iter(decoded)
        if is_wanted:
            self._wanted.add(index)
        for frame in self._frames:
            if decoded.count == index + 1:
                return frame
        _check_lost(decoded, index)
        return None

    def check_rest(self) -> None:
        """Check that a video with a damaged block lost no frame, also if it has all frames that are read.

        Raises:
            DataError: It has fewer frames than its header states.
        """
        if self._decoded is not None and self._decoded.video.is_broken():
            for _ in self._frames:
                pass
            self._decoded.video.check_end(self._decoded.count)


def _check_lost(decoded: CountedFrames, index: int) -> None:
    """Check at the end of a video that lacks a frame that it lost none before, which would shift the labels.

    Raises:
        DataError: It lost frames, or the frame is so far after its end that the rows are those of another video or of
            another frame rate.
    """
    video, count = decoded.video, decoded.count
    video.check_end(count)
    if decoded.losses:
        raise decoded.gap_error()
    if video.stated_frames - count > _TOLERANCE and video.path.suffix.lower() in COUNTED:
        what = f"{count} of {video.stated_frames} frames can be decoded"
        raise DataError(what, where=video.path, hint=_AGAIN)
    if index - count >= _TOLERANCE:
        what = f"{count} frames can be decoded, and rows name frames more than {_TOLERANCE} after its end"
        hint = "give labels of this video at its frame rate, or remove the rows after its end"
        raise DataError(what, where=video.path, hint=hint)


def convert(image: np.ndarray, modality: Modality, ranges: ValueRanges, path: Path) -> np.ndarray:
    """Convert a decoded image to the channels of a modality.

    Args:
        image: (H, W) or (H, W, C), blue first.
        modality: Modality of the image.
        ranges: Ranges of images of 16 bits and floats. Depth of 8 bits stays as it is, thermal images have the range.
        path: File, for errors.

    Returns:
        uint8 (H, W, 3) RGB, (H, W, 1) of depth (near is 255, far is 1, 0 is unknown) or of temperature, or (H, W, C) of
        another modality: brightness, red and green, or RGB.

    Raises:
        DataError: The image has another type or number of channels, or there is no range for it.
    """
    image = image[..., None] if image.ndim == 2 else image
    image = image[..., :3] if image.shape[2] == 4 else image
    if modality.channels == 1:
        image = _one_channel(image, modality, path)
    if modality.channels == 2:
        image = _two_channels(image, path)
    limits = {Modality.DEPTH: ranges.depth, Modality.THERMAL: ranges.thermal}.get(modality)
    if image.dtype == np.uint8 and not (limits and modality is Modality.THERMAL):
        return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], modality.channels))[..., ::-1])
    if modality not in (Modality.DEPTH, Modality.THERMAL):
        raise DataError(f"has values of type {image.dtype}", where=path, hint=f"write {modality} images with 8 bits")
    if limits is None:
        known = image[np.isfinite(image)]
        span = f" from {known.min()} to {known.max()}" if known.size else ", all unknown"
        what = f"has values of type {image.dtype}{span}"
        hint = f"state the lowest and the highest value with --{modality}-range, e.g. 500,1500"
        raise DataError(what, where=path, hint=hint)
    low, high = limits
    share = (image.astype(np.float64) - low) / (high - low)
    if modality is Modality.THERMAL:
        return np.asarray(np.rint(255 * np.nan_to_num(share).clip(0, 1)), np.uint8)
    is_known = (image > 0) & (share <= 1)
    return np.where(is_known, np.rint(255 - 254 * np.nan_to_num(share).clip(0, 1)), 0).astype(np.uint8)


def _one_channel(image: np.ndarray, modality: Modality, path: Path) -> np.ndarray:
    if image.shape[2] == 1 or (image == image[..., :1]).all():
        return image[..., :1]
    if modality is Modality.DEPTH and np.ptp(image, axis=2).max() <= _COMPRESSED:
        hint = "write depth videos with the codec FFV1, and depth images as PNG"
        raise DataError("is compressed with loss, so its depth is not exact", where=path, hint=hint)
    if modality is Modality.DEPTH:
        raise DataError("has colours, not depth", where=path, hint="write depth as one channel of 8 or 16 bits")
    colours = image if image.dtype in {np.dtype(np.uint8), np.dtype(np.uint16)} else image.astype(np.float32)
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY))[..., None]


def _two_channels(image: np.ndarray, path: Path) -> np.ndarray:
    if image.shape[2] == 1:
        raise DataError("has one channel, not two", where=path, hint="write them as red and green of a colour image")
    return image[..., 1:3]
