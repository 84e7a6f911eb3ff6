"""Worker processes that read sequences and write them to a store."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import cv2

from aubench._util.child_processes import isolated_start
from aubench.core.errors import DataError
from aubench.data.store_writer import Allocate, Sequence, StoreWriter

Key = tuple[str, str]
"""Names of subject and sequence."""

Reader = Callable[[Allocate], Sequence]
"""Function that reads one sequence into the arrays of :meth:`StoreWriter.open_arrays`; sent to another process."""


def write_sequences(
    writer: StoreWriter,
    readers: Mapping[Key, tuple[Reader, int]],
    workers: int,
    progress: Callable[[int, int], None],
) -> None:
    """Write the sequences that a store does not have yet, the longest first to balance the load.

    Args:
        writer: Writer of the store.
        readers: Reader and number of frames of each sequence.
        workers: Number of processes at most.
        progress: Called with the numbers of finished and of all frames.

    Raises:
        DataError: A file is damaged, or a process was killed. Finished sequences remain.
    """
    pending = [(key, *readers[key]) for key in readers if not writer.has(*key)]
    total = sum(count for _, count in readers.values())
    done = total - sum(count for *_, count in pending)
    progress(done, total)
    pending.sort(key=lambda job: -job[2])
    with worker_pool(min(workers, len(pending))) as pool:
        with isolated_start():
            jobs: dict[Future[None], int] = {
                pool.submit(_write, writer.for_sequence(*key), key, read): count for key, read, count in pending
            }
        for job in as_completed(jobs):
            job.result()
            done += jobs[job]
            progress(done, total)


def _write(writer: StoreWriter, key: Key, read: Reader) -> None:
    with writer.open_arrays(*key) as allocate:
        sequence = read(allocate)
    writer.add(sequence)


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Provide worker processes that end with the work, also after an error."""
    context = multiprocessing.get_context("spawn")
    try:
        pool = ProcessPoolExecutor(max(workers, 1), context, initializer=_begin_worker)
    except OSError as error:
        raise DataError(f"worker processes need semaphores ({error})", hint="make /dev/shm writable") from None
    others = set(multiprocessing.active_children())
    try:
        yield pool
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            hint = "repeat the command with fewer --workers"
            raise DataError("a worker process was killed, perhaps for lack of memory", hint=hint) from None
        raise
    pool.shutdown()


def _begin_worker() -> None:
    cv2.setNumThreads(1)  # there is a process for each core
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it too and ends its workers
    threading.Thread(target=_terminate_with_parent, daemon=True).start()


def _terminate_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
