"""Progress of long work on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_INTERVAL = 10.0
"""Seconds between plain lines."""


def is_terminal() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


class _Stderr:
    """Stderr that drops what it cannot write, as after its terminal was closed. A closed pipe remains an error."""

    def __init__(self) -> None:
        self._stream = sys.stderr

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _dropped_errors():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with _dropped_errors():
            self._stream.flush()


@contextmanager
def _dropped_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


def print_line(text: str) -> None:
    """Print a line to stderr, if it is open and can be written.

    Raises:
        BrokenPipeError: The program that read stderr has ended.
    """
    if sys.stderr is not None:
        print(text, file=_Stderr(), flush=True)


def format_duration(seconds: float) -> str:
    """Return a rounded duration."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a progress bar on stderr; invisible unless stderr is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=cast("IO[str]", _Stderr()))
    with Progress(*columns, console=console, disable=not is_terminal()) as progress:
        yield progress


@contextmanager
def count_progress(description: str) -> Iterator[Callable[[int, int], None]]:
    """Provide a callback ``callback(done, total)`` that shows the progress of one task."""
    with progress_bar() as progress:
        task = None
        last_line = time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal task, last_line
            if task is None:
                task = progress.add_task(description, total=total)
            progress.update(task, completed=done, total=total)
            is_due = time.monotonic() - last_line > _LINE_INTERVAL or done == total
            if is_due and total and not is_terminal():
                last_line = time.monotonic()
                print_line(f"{description}: {done} of {total}")

        yield show
