"""Frames per CPU second and peak memory of the preparation of BP4D, from photos of 1040 x 1392 pixels with meshes.

    python benchmarks/bench_prepare.py [DIR]

prepares the delivery in ``DIR``, or a drawn one, in one process. CPU time is compared, so other load on the machine
matters little.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from aubench.datasets.bp4d import extract as extraction
from aubench.datasets.bp4d.layout import Recording

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))
from bench_depth import PHOTO, write_scan
from factories.bp4d import HEIGHT, WIDTH, draw_face

FRAMES = 40


def draw_delivery(folder: Path, frames: int) -> Recording:
    """Write one sequence of one photo and one mesh, which all frames share."""
    face = cv2.resize(draw_face(WIDTH / 2, HEIGHT / 2, 110), PHOTO[::-1], interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 4, face.shape)
    photo = folder / "0.jpg"
    cv2.imwrite(str(photo), np.clip(face + noise, 0, 255)[..., ::-1].astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
    mesh = write_scan(folder / "0.obj")
    return Recording("F001", "T1", dict.fromkeys(range(frames), photo), dict.fromkeys(range(frames), mesh), None)


def find_recordings(folder: Path) -> list[Recording]:
    """Find the sequences of a delivery."""
    from aubench.datasets.bp4d.delivery import scan_delivery

    return list(scan_delivery(folder).recordings)


def measure_recordings(recordings: list[Recording]) -> tuple[float, float]:
    """Return frames per CPU second after a warm-up, and the peak memory of this process in MiB."""

    class Discard:
        def __setitem__(self, row: int, values: np.ndarray) -> None:
            """Drop the row."""

    options = extraction.ImageOptions(256, depth=True, landmarks=None)

    def extract(recording: Recording) -> int:
        return len(extraction.extract(recording, options, lambda kind, shape, dtype: Discard()).frames)

    extract(recordings[0])
    begin = time.process_time()
    frames = sum(map(extract, recordings))
    seconds = time.process_time() - begin
    return frames / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_prepare(tmp_path: Path, smoke: bool) -> None:
    speed, memory = measure_recordings([draw_delivery(tmp_path, 2 if smoke else FRAMES)])
    print(f"\nprepare BP4D: {speed:.0f} frames per CPU second, {memory:.0f} MiB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        recordings = find_recordings(Path(sys.argv[1])) if sys.argv[1:] else [draw_delivery(Path(name), FRAMES)]
        speed, memory = measure_recordings(recordings)
    print(f"{speed:.1f} frames per CPU second, peak memory {memory:.0f} MiB")
