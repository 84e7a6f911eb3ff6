"""Videos that OpenCV decodes frame by frame."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from aubench._util.zip_files import COPY_AGAIN
from aubench.core.errors import DataError
from aubench.faces import opencv_log

EXTENSIONS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm", ".wmv"})
"""Extensions of video files."""

COUNTED = frozenset({".avi", ".m4v", ".mov", ".mp4"})
"""Extensions of videos whose header counts the frames; others only state a duration."""

_GAP = 1.5  # frames between the times of two frames, from which on one is missing
_FEW_GAPS = 0.1  # share of intervals up to which gaps are losses, and not the variable rate of the recording
_WITHOUT_TIMES = ".avi"  # extension of videos whose frames state no times: the first one may be late
_BLOCK_NAME, _LISTS = re.compile(rb"[ -~]{4}"), (b"RIFF", b"LIST")  # of AVI files
_WMV, _WMV_PROPERTIES = (  # identifiers of the header and of the properties of the file
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"),
)

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # before OpenCV opens its first video: FFmpeg prints nothing


@dataclass(frozen=True)
class VideoFrame:
    """A decoded frame."""

    pixels: np.ndarray  # uint8 (H, W, 3), blue first
    time: float  # in ms

    def decode_grey(self, smallest: int) -> tuple[np.ndarray, int]:
        """Return the frame in grey, reduced by a whole factor while the shorter side keeps ``smallest`` pixels.

        Returns:
            uint8 (h, w), and the factor.
        """
        height, width = self.pixels.shape[:2]
        factor = max(min(height, width) // smallest, 1)
        grey = cv2.cvtColor(self.pixels, cv2.COLOR_BGR2GRAY)
        if factor > 1:
            grey = cv2.resize(grey, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        return np.asarray(grey), factor

    def decode_rgb(self) -> np.ndarray:
        """Return the frame as uint8 (H, W, 3), RGB."""
        return self.pixels[..., ::-1]


@dataclass(frozen=True)
class Video:
    """A video whose first frame could be decoded."""

    path: Path  # path of the file
    stated_frames: int  # number of frames by the header; it may be wrong
    rate: float  # frames per second by the header

    @staticmethod
    def open(path: Path) -> Video:
        """Open a video and decode its first frame.

        Raises:
            DataError: The file cannot be read, is not a video, or has a codec that this OpenCV does not decode.
        """
        capture = _open(path)
        try:
            if not capture.grab():
                raise DataError("no frame of the video can be decoded", where=path, hint=COPY_AGAIN)
            return Video(path, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS))
        finally:
            capture.release()

    def frames(self, wanted: Container[int] | None = None) -> Iterator[VideoFrame]:
        """Decode all frames from the first on, one at a time.

        Args:
            wanted: Numbers of the frames whose pixels are converted, from 0, which takes half the time; it may change
                between two frames. Other frames have no pixels, (0, 0, 3). All if None.

        Raises:
            DataError: The video cannot be opened any more.
        """
        capture = _open(self.path)
        none = np.empty((0, 0, 3), np.uint8)
        try:
            for number in itertools.count():
                if not capture.grab():
                    return
                is_wanted = wanted is None or number in wanted
                is_decoded, pixels = capture.retrieve() if is_wanted else (True, none)
                if not is_decoded:
                    return
                yield VideoFrame(np.asarray(pixels), capture.get(cv2.CAP_PROP_POS_MSEC))
        finally:
            capture.release()

    def is_gap(self, before: float, after: float) -> bool:
        """Return whether a frame is missing between frames at two times in ms."""
        return (after - before) * self.rate > _GAP * 1000

    def is_broken(self) -> bool:
        """Return whether something else than a block follows a block of an AVI file. Decoders then skip frames."""
        with self.path.open("rb") as file:
            size, at = file.seek(0, os.SEEK_END), 0
            while at + 8 <= size:
                file.seek(at)
                head = file.read(8)
                if at == 0 and head[:4] != b"RIFF":
                    return False
                if not _BLOCK_NAME.fullmatch(head[:4]):
                    return True
                length = int.from_bytes(head[4:], "little")
                at += 12 if head[:4] in _LISTS else 8 + length + length % 2  # blocks of a list follow its head
        return at > size + 1  # the last block may end without its padding

    def check_end(self, frames: int) -> None:
        """Compare the number of decoded frames with the header.

        Raises:
            DataError: Frames are missing, and the file is shorter than its container says, or a block of it is damaged,
                so that frames may be missing before others.
        """
        is_stated = self.stated_frames > 0
        if frames < self.stated_frames or not is_stated:
            fault = "is cut short" if _is_cut(self.path) else "is damaged" if self.is_broken() else ""
            if fault:
                what = f"{fault}: {f'{frames} of {self.stated_frames}' if is_stated else frames} frames can be decoded"
                raise DataError(what, where=self.path, hint=COPY_AGAIN)


class CountedFrames:
    """Frames of a video while they are decoded.

    Args:
        video: Video.
        frames: Its frames in order of time, from any decoder.

    Attributes:
        count: Number of frames until now.
        gaps: Numbers of the frames before which one is missing, from 0, which is the first frame.
    """

    def __init__(self, video: Video, frames: Iterable[VideoFrame]) -> None:
        self.video, self._frames = video, frames
        self._starts_at_zero = video.path.suffix.lower() != _WITHOUT_TIMES
        self.count = 0
        self.gaps: list[int] = []

    def __iter__(self) -> Iterator[VideoFrame]:
        before = 0.0
        for frame in self._frames:
            if (self.count or self._starts_at_zero) and self.video.is_gap(before, frame.time):
                self.gaps.append(self.count)
            before = frame.time
            self.count += 1
            yield frame

    @property
    def losses(self) -> list[int]:
        """Gaps at which frames were lost: the header states more frames, and gaps are not due to a variable rate."""
        is_lost = self.count < self.video.stated_frames and len(self.gaps) <= max(1, _FEW_GAPS * self.count)
        return self.gaps if is_lost else []

    def gap_error(self) -> DataError:
        """Create the error of a video that lost a frame at its first gap."""
        lost = f"no frame can be decoded after frame {self.gaps[0]}" if self.gaps[0] else "its first frame is lost"
        what = f"{lost}, so later frames would have wrong numbers"
        return DataError(what, where=self.video.path, hint=COPY_AGAIN)


def _open(path: Path) -> cv2.VideoCapture:
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
        name = str(path).encode().decode()
    except UnicodeEncodeError:
        raise DataError("the path is not UTF-8", where=path.name.encode(errors="replace"), hint="rename it") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, hint=COPY_AGAIN) from None
    if empty:
        raise DataError("is empty", where=path, hint=COPY_AGAIN)
    with opencv_log.silent():
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        if _is_cut(path):
            raise DataError("is cut short", where=path, hint=COPY_AGAIN)
        what = f"is damaged or not a video, or OpenCV has no decoder for its codec{_codec(path)}"
        raise DataError(what, where=path, hint=f"{COPY_AGAIN}, or convert it without loss and with all frames")
    return capture


def _codec(path: Path) -> str:
    """Return the name of the codec in the header of an AVI file."""
    with path.open("rb") as file:
        head = file.read(512)
    at = head.find(b"vids")
    code = head[at + 4 : at + 8].decode("latin-1")
    return f" ({code})" if head.startswith(b"RIFF") and at > 0 and code.isprintable() else ""


def _is_cut(path: Path) -> bool:
    """Return whether a file is shorter than its header says (WMV), or than its outermost blocks (AVI and MP4)."""
    with path.open("rb") as file:
        head = file.read(4096)
        size, at = file.seek(0, os.SEEK_END), head.find(_WMV_PROPERTIES)
        if head.startswith(_WMV) and at >= 0:
            return int.from_bytes(head[at + 40 : at + 48], "little") > size
        at = 0
        while at + 16 <= size:
            length = _block_length(file, at)
            if length < 8:  # up to the end, or another container
                return False
            at += length
    return at > size


def _block_length(file: BinaryIO, at: int) -> int:
    file.seek(at)
    head = file.read(16)
    if head.startswith(b"RIFF"):
        length = int.from_bytes(head[4:8], "little")
        return 8 + length if length else 0
    if not head[4:8].isalnum():
        return 0
    length = int.from_bytes(head[:4])
    return int.from_bytes(head[8:16]) if length == 1 else length
