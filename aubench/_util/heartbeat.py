"""Regular actions of a process beside its work, which show others that it is alive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeating(action: Callable[[], bool], seconds: float, name: str) -> Iterator[None]:
    """Call a function regularly in a thread during the block.

    Args:
        action: Function that returns whether it is to be called again.
        seconds: Interval between calls, also before the first one.
        name: Name of the thread.
    """
    stopped = threading.Event()

    def loop() -> None:
        while not stopped.wait(seconds) and action():
            pass

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
