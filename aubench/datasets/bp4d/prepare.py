"""``aubench data prepare``: a delivery -> a store, on all cores, resumable."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from aubench._util import system
from aubench.core import landmarks as landmark_layout
from aubench.core.errors import DataError, UsageError
from aubench.core.task import Modality
from aubench.data.store_writer import StoreWriter
from aubench.datasets.bp4d.depth import MEANING
from aubench.datasets.bp4d.extract import Options, extract
from aubench.datasets.bp4d.labels import read_label_file
from aubench.datasets.bp4d.landmark_files import landmark_file
from aubench.datasets.bp4d.layout import SCORED, Offset, Recording, find_recordings
from aubench.datasets.bp4d.summary import PrepareSummary

VERSION = "1"
"""Of the pixels: changes when the same delivery would yield other images."""

_CROP = "square from forehead to chin, smoothed over the sequence: "
_CROPS = {False: _CROP + "Haar detector, upright", True: _CROP + "49 points, eyes level"}
_MEANING = {Modality.VISUAL: "RGB of the 2D photo", Modality.DEPTH: MEANING}


def prepare_bp4d(
    source: Path,
    store: Path,
    *,
    size: int = 256,
    frame_offset: Offset = "auto",
    landmarks: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PrepareSummary:
    """Read BP4D as delivered and write a store; the same command goes on where a stopped one was.

    Args:
        source: The delivery's folder.
        store: Where the store shall be.
        size: Height and width of every image.
        frame_offset: Photo number minus label frame number; ``auto`` decides for each sequence.
        landmarks: Folder of the delivered 49-point files, which the store then keeps; without it a face detector
            finds the face.
        workers: Processes; all cores by default. The store does not depend on it.
        progress: Called with photos done and photos in all.

    Returns:
        The closing table.

    Raises:
        DataError: The delivery is not laid out as expected, or a file in it is damaged (label files are all
            read before the first photo); what is finished stays for the next attempt.
        UsageError: An option that makes no sense.
    """
    if size < 16:
        raise UsageError("images need 16 pixels or more", where=f"size {size}")
    recordings = find_recordings(source)
    options = Options(size, frame_offset, any(r.meshes for r in recordings), landmarks)
    _check(recordings, landmarks)
    plan = {
        "dataset": "bp4d",
        "version": VERSION,
        "source": str(source.resolve()),
        "size": size,
        "frame_offset": frame_offset,
        "landmarks": str(landmarks.resolve()) if landmarks else None,
        "labels": _digest([r.label_files for r in recordings if r.label_files]),
    }
    writer = StoreWriter(store, plan)
    _write(writer, recordings, options, workers or system.available_cores(), progress)
    modalities = {m: _MEANING[m] for m in _MEANING if options.depth or m is not Modality.DEPTH}
    made = writer.finish(
        dataset="bp4d",
        version=VERSION,
        size=size,
        modalities=modalities,
        crop=_CROPS[landmarks is not None],
        landmarks=landmark_layout.COUNT if landmarks else None,
    )
    return PrepareSummary.of(made, SCORED)


def _check(recordings: list[Recording], landmarks: Path | None) -> None:
    """Find in seconds what would otherwise stop the work after hours."""
    for recording in recordings:
        if recording.label_files:
            read_label_file(recording.label_files)
        if landmarks and recording.photos:
            file = landmark_file(landmarks, recording.subject, recording.sequence)
            if not file.is_file():
                raise DataError("no such landmark file", where=file, hint="add it, or leave --landmarks out")


def _digest(files: list[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(f"\n{file.name}\n".encode() + file.read_bytes())
    return total.hexdigest()


def _write(
    writer: StoreWriter,
    recordings: list[Recording],
    options: Options,
    workers: int,
    progress: Callable[[int, int], None],
) -> None:
    todo = [r for r in recordings if not writer.has(r.subject, r.sequence)]
    total = sum(len(r.photos) for r in recordings)
    done = total - sum(len(r.photos) for r in todo)
    progress(done, total)
    todo.sort(key=lambda r: -len(r.photos))  # the longest first, so that no core waits at the end
    with _pool(min(workers, len(todo))) as pool:
        jobs: dict[Future[None], int] = {
            pool.submit(_prepare_recording, writer, recording, options): len(recording.photos) for recording in todo
        }
        for job in as_completed(jobs):
            job.result()
            done += jobs[job]
            progress(done, total)


def _prepare_recording(writer: StoreWriter, recording: Recording, options: Options) -> None:
    writer.add(extract(recording, options))


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that stop at once when the work does, for whatever reason."""
    pool = ProcessPoolExecutor(max(workers, 1), multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    mine = set(multiprocessing.active_children())
    try:
        yield pool
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - mine:
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            hint = "give the same command again with fewer --workers"
            raise DataError("a worker process was killed, perhaps for lack of memory", hint=hint) from None
        raise
    pool.shutdown()


def _end_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends its workers
    threading.Thread(target=_terminate_with_parent, daemon=True).start()


def _terminate_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
