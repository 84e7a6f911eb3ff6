"""Names and titles of the columns that stand beside those of metrics in tables, which no metric may have."""

from __future__ import annotations

import re

_NAMES = {
    *("citation", "command", "commits", "demo", "delta_always_positive", "delta_always_positive_high"),
    *("delta_always_positive_low", "f1_over_always_positive", "f1_over_high", "f1_over_low", "f1_std", "fidelity"),
    *("flops", "fold_count", "folder", "folds", "frames", "gflops", "method", "method_version", "modalities", "paper"),
    *("parameters", "per_au", "position", "preset", "pretraining_frames", "protocol", "protocol_version", "rank"),
    *("recipe", "run", "runs", "seed", "seeds", "selection", "source", "store", "title", "tuned"),
}
_AU = re.compile(r"f1_au\d+")
_TITLES = {
    *("method", "fidelity", "modalities", "preset", "rank", "above always positive", "gflops", "params (m)", "frames"),
    *("pre-training frames", "seed", "seeds", "folds", "run"),
}
"""Headers in lower case."""


def is_other_column(name: str) -> bool:
    """Return whether a name in DataFrames, files and results is that of a column of no metric."""
    return name in _NAMES or _AU.fullmatch(name) is not None


def is_other_header(title: str) -> bool:
    """Return whether a header of a printed table is that of a column of no metric."""
    return title.casefold() in _TITLES
