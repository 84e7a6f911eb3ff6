"""Errors that the user can act on.

Every command prints an :class:`AubenchError` as one line on stderr and exits with its exit code. Any other exception
is a bug.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def visible(text: str) -> str:
    """Return text with escapes for characters that a terminal hides or obeys."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def one_line(text: str) -> str:
    """Return text, which may come from an untrusted file, as one line."""
    return visible(" ".join(text.split()))


class AubenchError(Exception):
    """An error the user can act on.

    Args:
        what: Description of the problem.
        where: File, line, column, key or option at fault.
        hint: Remedy.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        line = self.what if self.where is None else f"{self.where}: {self.what}"
        line = line if self.hint is None else f"{line}; {self.hint}"
        return one_line(line)

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling, so that worker processes can return the error."""
        return _rebuild, (type(self), self.what, str(self.where) if self.where is not None else None, self.hint)


def _rebuild(kind: type[AubenchError], what: str, where: str | None, hint: str | None) -> AubenchError:
    return kind(what, where=where, hint=hint)


class UsageError(AubenchError):
    """A name, option or combination that does not exist or does not fit."""


class DataError(AubenchError):
    """A data file that is missing, damaged or different from its description."""


class ProtocolError(AubenchError):
    """An invalid protocol: overlapping roles, missing subjects or unknown keys."""


class RecipeError(AubenchError):
    """A recipe key or value that the method does not have."""


class CheckpointError(AubenchError):
    """A checkpoint of another protocol, fold, seed or recipe, or one that cannot be read."""


class RecordError(AubenchError):
    """A leaderboard record whose content contradicts its metadata."""


class MethodError(AubenchError):
    """A breach of the contract by a method: a wrong shape, or values that are not finite probabilities."""


class Diverged(MethodError):
    """A loss or an output that is no longer finite. Often the recipe is the cause, not the code."""


class OutOfMemory(AubenchError):
    """A training step that needs more memory than there is."""


class ImagesLeaveNoMemory(OutOfMemory):
    """A training step that needs memory of a GPU in which images are held."""


class CheckFailed(AubenchError):
    """A check that completed and detected a problem (exit code 1)."""

    exit_code = 1


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, NumPy or PyTorch says that memory ran out."""
    text = "out of memory|can't allocate memory|not enough memory|ALLOC_FAILED"
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(re.search(text, str(error))))


def suggest(name: object, known: Iterable[str]) -> str:
    """Return a hint that contains the known name that is most similar to the user's.

    Args:
        name: Name, or the value that a caller from Python gave in its place.
        known: Known names.

    Returns:
        ``did you mean 'x'?``, or the list of all known names if none is similar.
    """
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names) or 'none'}"
