"""Versions of the built-in methods, from the list of changes in ``changes.toml`` beside them."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources


@cache
def changes() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the changes that change numbers, oldest first: a sentence, and the names of the methods concerned."""
    text = resources.files("aubench.methods").joinpath("changes.toml").read_text(encoding="utf-8")
    return tuple((change["text"], tuple(change["methods"])) for change in tomllib.loads(text)["change"])


def changes_since(method: str, version: int) -> tuple[str, ...]:
    """Return the changes of a built-in method after one of its versions.

    Args:
        method: Name of the method.
        version: Version, from 1.
    """
    return tuple(text for text, methods in changes() if method in methods)[version - 1 :]


def current_version(method: str) -> int:
    """Return the version of a built-in method: one more than the number of its changes."""
    return 1 + len(changes_since(method, 1))
