"""JPEG reader that detects truncated files, which OpenCV decodes silently."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from aubench._util.zip_files import COPY_AGAIN, DeliveredFile
from aubench.core.errors import DataError
from aubench.faces import opencv_log
from aubench.faces.jpeg_scans import SCAN, has_hole, segments

_LARGEST = 256 << 20  # bytes of a file
_MOST_PIXELS = 1 << 28
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start-of-frame markers; the three are tables
_END = b"\xff\xd9"


@dataclass(frozen=True)
class Photo:
    """A complete JPEG in memory, not yet decoded."""

    path: DeliveredFile  # path of the file
    data: bytes  # bytes of the file
    height: int  # pixels from top to bottom
    width: int  # pixels from left to right

    @staticmethod
    def read(path: DeliveredFile) -> Photo:
        """Read a JPEG and check its start, size and end.

        Raises:
            DataError: The file cannot be read, is too large, is not a JPEG, or is truncated.
        """
        data = read_content(path, COPY_AGAIN)
        if not data.startswith(b"\xff\xd8"):
            raise DataError("is not a JPEG", where=path, hint=COPY_AGAIN)
        scan, height, width = _first_scan(data)
        # Inside a scan, 0xff is followed by 0 or a restart marker, so an end marker there ends the image.
        end = data.find(_END, scan) if scan >= 0 else -1
        if end < 0 or not height or not width or has_hole(data, scan, end):
            raise DataError("is cut short", where=path, hint=COPY_AGAIN)
        check_pixels(path, width, height, COPY_AGAIN)
        return Photo(path, data, height, width)

    def decode_rgb(self, factor: int = 1) -> np.ndarray:
        """Decode the image, reduced by a factor of 1, 2, 4 or 8: the decoder then averages, and takes half the time.

        Returns:
            uint8 (H / factor, W / factor, 3), rounded up, RGB, without the EXIF rotation, to which texture coordinates
            do not refer.

        Raises:
            DataError: The image cannot be decoded.
        """
        return self._decode(_RGB[factor])

    def decode_grey(self, smallest: int) -> tuple[np.ndarray, int]:
        """Decode the image in grey, halved while the shorter side keeps ``smallest`` pixels.

        Returns:
            uint8 (h, w), and the reduction factor: 1, 2, 4 or 8.

        Raises:
            DataError: The image cannot be decoded.
        """
        shorter = min(self.height, self.width)
        factor = reduction(shorter, smallest)
        return self._decode(_GREY[factor]), factor

    def _decode(self, flags: int) -> np.ndarray:
        try:
            with opencv_log.silent():
                image = cv2.imdecode(np.frombuffer(self.data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:
            image = None
        if image is None:
            raise DataError("cannot be decoded", where=self.path, hint=COPY_AGAIN)
        image = np.asarray(image)
        return image[..., ::-1] if flags in _BLUE_FIRST else image


def read_content(path: DeliveredFile, hint: str) -> bytes:
    """Return the bytes of an image file.

    Raises:
        DataError: The file cannot be read, or is too large for an image.
    """
    try:
        if isinstance(path, Path) and path.stat().st_size > _LARGEST:
            raise DataError("is too large for an image", where=path, hint=hint)
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, hint=hint) from None


def check_pixels(path: DeliveredFile, width: int, height: int, hint: str) -> None:
    """Refuse an image that would need gigabytes of memory: its file may be small.

    Raises:
        DataError: The image has too many pixels.
    """
    if width * height > _MOST_PIXELS:
        raise DataError(f"has {width} × {height} pixels, too many for a photo", where=path, hint=hint)


def check_same_size(photo: Photo, first: Photo) -> None:
    """Refuse a photo of another size than the first, because the face is tracked in pixels.

    Raises:
        DataError: The sizes differ.
    """
    if (photo.width, photo.height) != (first.width, first.height):
        what = f"has {photo.width} × {photo.height} pixels, {first.path.name} has {first.width} × {first.height}"
        raise DataError(what, where=photo.path, hint=f"{COPY_AGAIN}, or remove it")


def reduction(pixels: float, smallest: float) -> int:
    """Return the greatest factor of the decoder that leaves ``smallest`` of a number of pixels."""
    return next(factor for factor in (8, 4, 2, 1) if factor == 1 or pixels >= smallest * factor)


_RGB = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_BLUE_FIRST = {_RGB[2], _RGB[4], _RGB[8]}  # OpenCV has no flag for reduced images with red first
_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def _first_scan(data: bytes) -> tuple[int, int, int]:
    """Return the start of the data of the first scan (-1 if there is none), and the height and width before it."""
    height, width = 0, 0
    for marker, content, at in segments(data):
        if marker in _SIZES:
            height, width = int.from_bytes(content[1:3]), int.from_bytes(content[3:5])
        if marker == SCAN:
            return at, height, width
    return -1, height, width
