"""Processes that start the same work at the same moment."""

import multiprocessing
from collections.abc import Callable
from typing import Any


def in_processes(count: int, work: Callable[[int], object]) -> list[Any]:
    """Call ``work`` in forked processes that start together, and return their results in the order of their ends."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(count), context.SimpleQueue()

    def start(index: int) -> None:
        barrier.wait(60)
        results.put(work(index))

    processes = [context.Process(target=start, args=(index,), daemon=True) for index in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * count
    return [results.get() for _ in processes]
