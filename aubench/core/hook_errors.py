"""Conversion of unexpected errors of plug-ins to one line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aubench.core.errors import AubenchError, is_out_of_memory


@contextmanager
def convert_errors(owner: type | Callable[..., Any], hook: str, kind: type[AubenchError]) -> Iterator[None]:
    """Convert unexpected errors of a hook, and name the last line of the owner's file that was executed.

    Errors that say that memory ran out remain, because folds and commands report them as such.

    Args:
        owner: Class that has the hook, or the function itself.
        hook: Name of the hook for the message.
        kind: Type of the error.
    """
    try:
        yield
    except AubenchError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        line = failed_line(owner, error)
        place = "" if line is None else f" in line {line}"
        raise kind(f"fails{place} ({type(error).__name__}: {error})", where=hook) from error


def failed_line(owner: type | Callable[..., Any], error: BaseException) -> int | None:
    """Return the last line of the owner's file that was executed before an error; None if there is none."""
    file = getattr(sys.modules.get(getattr(owner, "__module__", "")), "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return lines[-1] if lines else None
