"""How long work shows: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_EVERY = 10.0
"""Seconds between plain lines."""


def on_terminal() -> bool:
    """Whether a person looks at stderr."""
    return sys.stderr.isatty()


def print_line(text: str) -> None:
    """Say one line beside the results."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr; invisible where nobody looks."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not on_terminal()) as progress:
        yield progress


@contextmanager
def count_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A callback that shows how much of one thing is done: ``callback(done, total)``."""
    with progress_bar() as progress:
        task = None
        said = time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal task, said
            if task is None:
                task = progress.add_task(what, total=total)
            progress.update(task, completed=done, total=total)
            due = time.monotonic() - said > _LINE_EVERY or done == total
            if due and total and not on_terminal():
                said = time.monotonic()
                print_line(f"{what}: {done} of {total}")

        yield show
