"""Stored scores of a finished fold under test conditions, valid for the weights that they were computed with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.conditions import Condition
from aubench.results import counts, histograms
from aubench.results.run_folder import WEIGHTS
from aubench.runs.config import RunConfig

FOLDER = "conditions"
HEADER = "conditions.json"
VERSION = 1
"""Version of the evaluation; to be raised when the numbers of a condition change."""


@dataclass(frozen=True)
class ConditionScores:
    """Scores of a fold under test conditions.

    Attributes:
        conditions: Conditions in the order of their evaluation, without ``clean``.
        counts: Their confusion counts, see :mod:`aubench.results.counts`.
        histograms: Their histograms, see :mod:`aubench.results.histograms`.
    """

    conditions: tuple[str, ...]
    counts: pd.DataFrame
    histograms: pd.DataFrame


def read(config: RunConfig, fold: int) -> ConditionScores | None:
    """Read the stored scores of a fold; None if there are none for its present weights."""
    conditions, folder = _cached_conditions(config, fold), config.fold_dir(fold) / FOLDER
    if not conditions:
        return None
    tables = [table[table["condition"].isin(conditions)] for table in (counts.read(folder), histograms.read(folder))]
    return ConditionScores(conditions, *tables)


def missing_conditions(config: RunConfig, fold: int, conditions: Sequence[Condition]) -> list[Condition]:
    """List the conditions under which a fold has not been evaluated."""
    cached = _cached_conditions(config, fold)
    return [condition for condition in conditions if str(condition) not in cached]


def save(config: RunConfig, fold: int, new: ConditionScores) -> ConditionScores:
    """Store further scores of a fold and return all of its scores."""
    folder, old = config.fold_dir(fold) / FOLDER, read(config, fold)
    parts = [new] if old is None else [old, new]
    merged = ConditionScores(
        tuple(condition for part in parts for condition in part.conditions),
        counts.canonical(pd.concat([part.counts for part in parts])),
        histograms.canonical(pd.concat([part.histograms for part in parts])),
    )
    counts.write(merged.counts, folder)
    histograms.write(merged.histograms, folder)
    atomic.write_json(folder / HEADER, {**_cache_key(config, fold), "conditions": list(merged.conditions)})
    return merged


def _cached_conditions(config: RunConfig, fold: int) -> tuple[str, ...]:
    """Return the conditions stored for the present weights of a fold."""
    try:
        header = json.loads((config.fold_dir(fold) / FOLDER / HEADER).read_text())
        conditions = header.pop("conditions")
    except (OSError, ValueError, LookupError):
        return ()
    return tuple(conditions) if header == _cache_key(config, fold) else ()


def _cache_key(config: RunConfig, fold: int) -> dict[str, Any]:
    return {
        "version": VERSION,
        "run": config.run_id,
        "store": config.store.digest,
        "checkpoint": hashing.hash_unchanged_file(config.fold_dir(fold) / WEIGHTS),
    }
