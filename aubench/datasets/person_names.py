"""Names of people and recordings in stores, and their comparison between stores."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OTHER_LETTERS = re.compile(r"[^0-9A-Za-z.+-]+")


def store_name(parts: Sequence[str]) -> str:
    """Join the parts of a path to a name in a store, in which other letters become ``-``."""
    return _OTHER_LETTERS.sub("-", "-".join(parts)).strip(".-") or "x"


def comparable(subject: str) -> str:
    """Return what the spellings of a person's name have in common: ``p-1`` of ``P_01``, ``p 1`` and ``P-1.0``."""
    name = re.sub(r"(?<=[0-9])\.0$", "", store_name([subject]).casefold())
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", name)
