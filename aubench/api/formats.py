"""Formats of printed tables."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def check_form(form: str, known: Collection[str] | None = None) -> str:
    """Return the canonical name of a format; ``md`` is ``markdown``.

    Args:
        form: Name of a format.
        known: Allowed formats; those of files and ``json`` if None.

    Raises:
        UsageError: The format is not known.
    """
    from aubench.core.errors import UsageError, suggest
    from aubench.leaderboard.render import FORMATS

    known = (*FORMATS, "json") if known is None else known
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
