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

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_state: dict[str, int] = {}
"""``deferring`` during a block that saves its state, and ``received`` with the number of a signal."""


def install() -> None:
    """Handle the signals of this process. Outside of :func:`deferred`, they end it at once."""
    for number in _SIGNALS:
        signal.signal(number, _handle)


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
