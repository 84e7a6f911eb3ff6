"""What can go wrong, each told in one line: what, where, what to do.

Every command turns an :class:`AubenchError` into that line on stderr and its exit code; nothing
else may reach the user as anything but a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AubenchError(Exception):
    """An error the user can act on.

    Args:
        what: What is wrong, in plain words.
        where: The file, line, column, key or option that it is about.
        hint: What to do about it.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        line = self.what if self.where is None else f"{self.where}: {self.what}"
        line = line if self.hint is None else f"{line}; {self.hint}"
        return " ".join(line.split())

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip back from a worker process."""
        return _rebuild, (type(self), self.what, str(self.where) if self.where is not None else None, self.hint)


def _rebuild(kind: type[AubenchError], what: str, where: str | None, hint: str | None) -> AubenchError:
    return kind(what, where=where, hint=hint)


class UsageError(AubenchError):
    """A name, option or combination that does not exist or does not fit."""


class DataError(AubenchError):
    """A data file that is missing, damaged or not what it says it is."""


class ProtocolError(AubenchError):
    """A protocol that cannot be trusted: roles overlap, subjects are missing, keys are unknown."""


class RecipeError(AubenchError):
    """A recipe key or value that the method does not have."""


class CheckpointError(AubenchError):
    """A checkpoint of another protocol, fold, seed or recipe, or one that cannot be read."""


class RecordError(AubenchError):
    """A leaderboard record that does not hold what it claims."""


class MethodError(AubenchError):
    """A method that broke its contract: wrong shape, not a probability, not finite."""


class Diverged(MethodError):
    """A method whose numbers are not finite any more: often the recipe's fault, not the code's."""


class CheckFailed(AubenchError):
    """A check ran to its end and found something wrong (exit code 1)."""

    exit_code = 1


def suggest(name: str, known: Iterable[str]) -> str:
    """Words for a hint that names the nearest known name.

    Args:
        name: What the user wrote.
        known: What exists.

    Returns:
        ``did you mean 'x'?``, or the list of all known names where none is near.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names) or 'none'}"
