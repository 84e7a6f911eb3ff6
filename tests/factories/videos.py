"""Small videos, written by OpenCV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np


def write_video(path: Path, frames: Iterable[np.ndarray], codec: str = "MJPG", rate: float = 20) -> Path:
    """Write uint8 (H, W, 3) RGB frames as a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    for frame in frames:
        height, width = frame.shape[:2]
        if writer is None:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (width, height))
            assert writer.isOpened(), codec
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    assert writer is not None
    writer.release()
    return path


def grey_frames(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Draw frames whose brightness is 10 times their number, counted from 0."""
    return [np.full((height, width, 3), 10 * number, np.uint8) for number in range(count)]
