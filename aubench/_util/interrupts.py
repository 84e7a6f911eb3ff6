"""Signals that end a process, deferred until the process has saved its state."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SAVE_SECONDS = 6.0
"""Time to save the state, after which the process ends without it."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
"""Signals of Ctrl-C, of queues and system services, and of a closed terminal."""
_state: dict[str, int] = {}
"""``deferring`` during a block that saves its state, and ``received`` with the number of a signal."""


def install() -> None:
    """Handle the signals of this process, also those that waited. Outside of :func:`deferred`, they end it at once."""
    for number in SIGNALS:
        if not _is_ignored_hangup(number):
            signal.signal(number, _handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def like_ctrl_c() -> Iterator[None]:
    """Let the signals raise KeyboardInterrupt in the main thread."""
    chosen = [number for number in SIGNALS if not _is_ignored_hangup(number)]
    previous = [signal.signal(number, signal.default_int_handler) for number in chosen]
    try:
        yield
    finally:
        for number, handler in zip(chosen, previous, strict=True):
            signal.signal(number, handler)


@contextmanager
def blocked() -> Iterator[None]:
    """Let the signals wait until the end of a block in the main thread, also in the child processes that it starts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    chosen = [number for number in SIGNALS if not _is_ignored_hangup(number)]
    handlers = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in chosen}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, chosen)  # inherited by child processes, but not by other threads
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def _is_ignored_hangup(number: int) -> bool:
    """Return whether the signal is that of a closed terminal, which ``nohup`` ignores."""
    return number not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) is signal.SIG_IGN


def _handle(number: int, frame: FrameType | None) -> None:
    if "deferring" not in _state:
        _end(number)
    if "received" not in _state:
        _state["received"] = number
        timer = threading.Timer(SAVE_SECONDS, os._exit, [128 + number])
        timer.daemon = True
        timer.start()


@contextmanager
def deferred() -> Iterator[None]:
    """Defer the signals during a block that calls :func:`is_requested` and :func:`end_if_requested` often."""
    _state["deferring"] = 1
    try:
        yield
        end_if_requested()
    finally:
        del _state["deferring"]


def is_requested() -> bool:
    """Return whether a deferred signal has arrived."""
    return "received" in _state


def end_if_requested() -> None:
    """End this process by the deferred signal, if one has arrived."""
    if number := _state.get("received"):
        _end(number)


def _end(number: int) -> None:
    """End this process as the signal does by default."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
