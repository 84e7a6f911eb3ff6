"""Stored scores of a finished fold under test conditions, valid for the weights that they were computed with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.conditions import Condition, kind_of
from aubench.core.corruption_registry import CORRUPTIONS
from aubench.core.errors import RecordError
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
        corruptions: SHA-256 of the code of those corruptions that are plug-ins, by name.
    """

    conditions: tuple[str, ...]
    counts: pd.DataFrame
    histograms: pd.DataFrame
    corruptions: Mapping[str, str] = field(default_factory=dict)

    def code_of(self, condition: str) -> str | None:
        """Return the digest of the code of a condition's corruption; None if it is built in."""
        return self.corruptions.get(kind_of(condition))


def plugin_digests(conditions: Iterable[str]) -> dict[str, str]:
    """Return the digests of the code of the corruptions of some conditions, without the built-in ones."""
    digests = {name: CORRUPTIONS.code_digest(name) for name in set(map(kind_of, conditions))}
    return {name: digest for name, digest in sorted(digests.items()) if digest}


def read(config: RunConfig, fold: int) -> ConditionScores | None:
    """Read the stored scores of a fold; None if there are none for its present weights, or if they are damaged."""
    conditions, corruptions = _cached_conditions(config, fold)
    folder = config.fold_dir(fold) / FOLDER
    if not conditions:
        return None
    try:
        tables = counts.read(folder), histograms.read(folder)
    except RecordError:
        return None
    of_counts, of_histograms = (table[table["condition"].isin(conditions)] for table in tables)
    return ConditionScores(conditions, of_counts, of_histograms, corruptions)


def missing_conditions(config: RunConfig, fold: int, conditions: Sequence[Condition]) -> list[Condition]:
    """List the conditions under which a fold has not been evaluated."""
    return conditions_beyond(read(config, fold), conditions)


def conditions_beyond(stored: ConditionScores | None, conditions: Sequence[Condition]) -> list[Condition]:
    """List the conditions that stored scores lack."""
    return [condition for condition in conditions if stored is None or str(condition) not in stored.conditions]


def save(config: RunConfig, fold: int, stored: ConditionScores | None, new: ConditionScores) -> None:
    """Store further scores of a fold beside those that :func:`read` returned."""
    folder = config.fold_dir(fold) / FOLDER
    parts = [new] if stored is None else [stored, new]
    merged = ConditionScores(
        tuple(condition for part in parts for condition in part.conditions),
        counts.canonical(pd.concat([part.counts for part in parts])),
        histograms.canonical(pd.concat([part.histograms for part in parts])),
        {name: digest for part in parts for name, digest in part.corruptions.items()},
    )
    if new.corruptions:  # a kill must not leave their scores under the digest of earlier code
        (folder / HEADER).unlink(missing_ok=True)
    counts.write(merged.counts, folder)
    histograms.write(merged.histograms, folder)
    header = {**_cache_key(config, fold), "conditions": list(merged.conditions)}
    atomic.write_json(folder / HEADER, header | ({"corruptions": merged.corruptions} if merged.corruptions else {}))


def _cached_conditions(config: RunConfig, fold: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the conditions stored for the present weights of a fold, and the digests of plug-in corruptions.

    A condition is omitted if the present code of its corruption differs.
    """
    try:
        header = json.loads((config.fold_dir(fold) / FOLDER / HEADER).read_bytes())
        stored, corruptions = tuple(header.pop("conditions")), dict(header.pop("corruptions", {}))
        present = _cache_key(config, fold)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return (), {}
    if header != present:
        return (), {}
    changed = {name for name, digest in plugin_digests(stored).items() if corruptions.get(name) != digest}
    conditions = tuple(condition for condition in stored if kind_of(condition) not in changed)
    return conditions, {name: digest for name, digest in corruptions.items() if name not in changed}


def _cache_key(config: RunConfig, fold: int) -> dict[str, Any]:
    return {
        "version": VERSION,
        "run": config.run_id,
        "store": config.store.digest,
        "checkpoint": hashing.hash_unchanged_file(config.fold_dir(fold) / WEIGHTS),
    }
