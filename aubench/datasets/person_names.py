"""Names of people and recordings in stores, and their comparison between stores."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OTHER_LETTERS = re.compile(r"[^0-9A-Za-z.+-]+")


def store_name(parts: Sequence[str]) -> str:
    """Join the parts of a path to a name in a store, in which other letters become ``-``."""
    return _OTHER_LETTERS.sub("-", "-".join(parts)).strip(".-") or "x"


def plain_name(subject: str) -> str:
    """Return what the spellings of a person's name in a table have in common: ``p1`` of ``P01``, ``1`` of ``1.0``."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"(?<=[0-9])\.0$", "", subject.casefold()))


def comparable(subject: str) -> str:
    """Return what the spellings of a person's name in several stores have in common."""
    return plain_name(store_name([subject]))
