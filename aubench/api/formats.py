"""Formats of tables."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FORMATS = {"markdown": "md", "latex": "tex", "csv": "csv", "json": "json"}
"""Formats of tables, with the suffixes of their files."""


def check_form(form: str, known: Collection[str] = FORMATS) -> str:
    """Return the canonical name of a format; ``md`` is ``markdown``.

    Raises:
        UsageError: The format is not known.
    """
    from aubench.core.errors import UsageError, suggest

    name = "markdown" if form == "md" else form
    if name not in known:
        raise UsageError(f"no format '{form}'", where="--format", hint=suggest(form, known))
    return name


def frame_text(frame: pd.DataFrame, form: str) -> str:
    """Return a DataFrame as ``csv``, ``json`` (one object per row) or ``markdown``."""
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    if form == "json":
        return frame.to_json(orient="records", indent=2, force_ascii=False, double_precision=15) + "\n"
    return frame.to_markdown(index=False, tablefmt="github") + "\n"
