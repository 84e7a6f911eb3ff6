"""Paths that users give in arguments, with ``~`` expanded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from aubench.core.errors import UsageError

_HOME = re.compile(r"(?:^|(?<=[=,:])|(?<=:///))~[\w.-]*(?=/|$)")


def expand_home(text: str) -> str:
    """Replace ``~`` and ``~user`` at the start of each path in an argument or environment variable.

    A shell does so only where the path is a word of its own. ``--store=~/stores``, a list of paths, a URL, a Dockerfile
    and a ``.env`` file reach aubench as they are.

    Raises:
        UsageError: The home folder is unknown.
    """
    return _HOME.sub(lambda match: _home(match[0], text), text)


def _home(tilde: str, text: str) -> str:
    folder = os.path.expanduser(tilde)  # noqa: PTH111  its counterpart in pathlib raises RuntimeError
    if folder == tilde == "~":
        raise UsageError("the home folder is unknown", where=text, hint="set HOME, or give an absolute path")
    return folder.rstrip("/")


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path of the user with ``~`` expanded.

    Raises:
        UsageError: This is no path or an empty one, or the home folder is unknown.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"{path!r} is no path", hint="give a text or a pathlib.Path")
    text = os.fspath(path)
    if not text:
        raise UsageError("a path is empty", hint="give a path; '.' is the working directory")
    return Path(expand_home(text))


def require_file(path: Path, hint: str, where: object = None) -> None:
    """Check that a path of the user is a file.

    Args:
        path: Path.
        hint: Remedy in the message.
        where: Text of the path in the message; the path itself if None.

    Raises:
        UsageError: There is no file, or the path is a folder.
    """
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "no such file"
        raise UsageError(reason, where=path if where is None else where, hint=hint)


def user_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return one or several paths of the user as :func:`user_path`."""
    several = paths if isinstance(paths, Iterable) and not isinstance(paths, str) else [paths]
    return [user_path(path) for path in several]
