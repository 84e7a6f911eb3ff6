"""Jobs of worker processes."""

import pickle
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

from aubench.data.store_writer import StoreWriter
from aubench.datasets import sequence_pool


def read(allocate):
    """Read no sequence."""
    raise AssertionError


def sizes_of_jobs(path, count, monkeypatch) -> list[int]:
    """Return the numbers of bytes that worker processes receive for each of some sequences."""
    sizes = []

    class Pool:
        def submit(self, *job: object) -> Future[None]:
            sizes.append(len(pickle.dumps(job)))
            future: Future[None] = Future()
            future.set_result(None)
            return future

    monkeypatch.setattr(sequence_pool, "worker_pool", contextmanager(lambda workers: iter([Pool()])))
    keys = [(f"P{i:03}", "T1") for i in range(count)]
    with StoreWriter(path, {}) as writer:
        writer.discard_changed({key: {"photos": [3, "x" * 64]} for key in keys})
        sequence_pool.write_sequences(writer, {key: (partial(read), 1) for key in keys}, 2, lambda done, total: None)
    return sizes


def test_a_job_does_not_grow_with_the_number_of_sequences(tmp_path, monkeypatch) -> None:
    few, many = (sizes_of_jobs(tmp_path / str(count), count, monkeypatch) for count in (1, 100))
    assert max(many) < min(few) + 10
