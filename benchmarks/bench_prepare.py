"""Frames per CPU second by stage, memory and workers of the preparation of BP4D, at 1040 x 1392 pixels with meshes.

    python benchmarks/bench_prepare.py [DIR]

prepares the delivery in ``DIR``, or a drawn one, in one process, and then by the command with one and with two workers.
CPU time is compared, so other load on the machine matters little. The target is that two workers are at least 1.8 times
as fast as one. On a machine with other load, the ratio of wall times says little. The ratio that CPU times allow is
(P1 + W1) / (P2 + W2 / 2), where P is the CPU time of the command's own process, which works alone, and W that of its
workers. The start of each process takes about 1 s of it.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import cv2
import numpy as np

from aubench.datasets.bp4d import extract as extraction
from aubench.datasets.bp4d.layout import SUBJECTS, Recording
from aubench.faces.face_tracker import FaceTracker
from aubench.faces.images import Photo

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))
from bench_depth import PHOTO, write_scan
from factories.bp4d import HEIGHT, WIDTH, Delivery, draw_face, write_codes

FRAMES, SEQUENCES = 40, 40


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


STAGES = {
    "read photos": (Photo, "read"),
    "read meshes": (extraction, "read_obj"),
    "locate meshes": (extraction, "locate"),
    "locate faces": (FaceTracker, "locate"),
    "decode photos": (Photo, "decode_rgb"),
    "crop photos": (extraction.crops, "crop_square"),
    "project meshes": (extraction, "depth_map"),
}
"""Function of each stage, by its owner."""


def measure_stages(recordings: list[Recording]) -> dict[str, float]:
    """Return the CPU time per frame of each stage in ms; the rest is writing and bookkeeping."""
    options, spent = extraction.ImageOptions(256, depth=True, landmarks=None), Counter[str]()

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            begin = time.process_time()
            try:
                return function(*args, **named)
            finally:
                spent[stage] += time.process_time() - begin

        return call

    with ExitStack() as stack:
        for stage, (owner, name) in STAGES.items():
            function = timed(stage, getattr(owner, name))
            is_bound = isinstance(vars(owner).get(name), staticmethod | classmethod)
            stack.enter_context(mock.patch.object(owner, name, staticmethod(function) if is_bound else function))
        begin = time.process_time()
        frames = sum(len(extraction.extract(recording, options).frames) for recording in recordings)
        total = time.process_time() - begin
    each = {stage: 1000 * seconds / frames for stage, seconds in spent.items()}
    return {**each, "rest": 1000 * total / frames - sum(each.values())}


class Times(NamedTuple):
    """Times of a command in s."""

    own: float  # CPU time of its process
    workers: float  # CPU time of its workers
    wall: float


_TIMED = """
import json, resource, sys
from aubench.cli import main
try:
    main.main()
finally:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([usage.ru_utime + usage.ru_stime for usage in usages]), file=sys.__stdout__, flush=True)
"""


def measure_workers(source: Path, workers: int) -> Times:
    """Measure the command with a number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["data", "prepare", "bp4d", "--source", source, "--store", f"{folder}/store", "--workers", workers]
        begin = time.perf_counter()
        command = [sys.executable, "-c", _TIMED, *map(str, words)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        return Times(*json.loads(output.splitlines()[-1]), time.perf_counter() - begin)


def draw_tree(folder: Path, sequences: int, frames: int) -> Path:
    """Write a delivery of sequences that share one photo and one mesh by links."""
    recording, tree = draw_delivery(folder, 1), Delivery(folder / "BP4D")
    for subject in sorted(SUBJECTS)[:sequences]:
        task = tree.task(subject, "T1")
        task.mkdir(parents=True)
        for frame in range(frames):
            os.link(recording.photos[0], task / f"{frame:04}.jpg")
            os.link(recording.meshes[0], task / f"{frame:04}.obj")
        write_codes(tree.codes(subject, "T1"), range(1, frames + 1))
    return tree.root


def report_workers(source: Path, counts: Sequence[int] = (1, 2, 1)) -> float:
    """Run the command with each number of workers, and print the mean times; returns the ratio that CPU times allow."""
    measured = [(workers, measure_workers(source, workers)) for workers in counts]
    one, two = (
        Times(*map(statistics.mean, zip(*(times for workers, times in measured if workers == count), strict=True)))
        for count in (1, 2)
    )
    for workers, times in ((1, one), (2, two)):
        print(
            f"{workers} workers: {times.own:.1f} s of CPU time alone and {times.workers:.1f} s in the workers, "
            f"{times.wall:.1f} s"
        )
    ratio = (one.own + one.workers) / (two.own + two.workers / 2)
    print(f"two workers: {ratio:.2f} times one by CPU time, {one.wall / two.wall:.2f} times by the clock")
    return ratio


def test_prepare(tmp_path: Path, smoke: bool, check_target: Callable[..., None]) -> None:
    sequences, frames, counts = (2, 2, (1, 2)) if smoke else (SEQUENCES, FRAMES, (1, 2, 1))
    speed, memory = measure_recordings([draw_delivery(tmp_path, frames)])
    print(f"\nprepare BP4D: {speed:.0f} frames per CPU second, {memory:.0f} MiB")
    stages = measure_stages([draw_delivery(tmp_path, 2)])
    assert stages.keys() == {*STAGES, "rest"}
    check_target(report_workers(draw_tree(tmp_path, sequences, frames), counts), at_least=1.8)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        recordings = find_recordings(Path(sys.argv[1])) if sys.argv[1:] else [draw_delivery(Path(name), FRAMES)]
        speed, memory = measure_recordings(recordings)
        print(f"{speed:.1f} frames per CPU second, peak memory {memory:.0f} MiB")
        for stage, milliseconds in measure_stages(recordings).items():
            print(
                f"{stage}: {milliseconds:.2f} ms per frame, {1000 / max(milliseconds, 1e-3):.0f} frames per CPU second"
            )
        report_workers(Path(sys.argv[1]) if sys.argv[1:] else draw_tree(Path(name), SEQUENCES, FRAMES))
