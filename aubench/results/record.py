"""The record: what a run leaves to the leaderboard. Counts and provenance, no pixels, no weights.

A record is a folder::

    record.json      what ran, on what, and the headline numbers (:class:`RecordInfo`)
    counts.csv       confusion counts per condition, fold, subject and AU (:mod:`aubench.results.counts`)
    histograms.csv   predicted probabilities per condition, fold, AU and label (:mod:`aubench.results.histograms`)

Nobody's arithmetic has to be trusted: every field has a type and a bound, unknown fields are refused, and
every number can be recomputed from the two tables.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, JsonValue, ValidationError, model_validator

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.errors import RecordError
from aubench.results import counts, csv_io, histograms
from aubench.results.schema import (
    Compute,
    Condition,
    Cost,
    Count,
    DatasetInfo,
    Device,
    Environment,
    FoldFrames,
    FoldInfo,
    Git,
    MethodInfo,
    Name,
    Packages,
    Pretraining,
    ProtocolInfo,
    Search,
    Speed,
    StrictModel,
    Summary,
    Time,
)

__all__ = [
    "Compute",
    "Cost",
    "DatasetInfo",
    "Device",
    "Environment",
    "FoldFrames",
    "FoldInfo",
    "Git",
    "MethodInfo",
    "Pretraining",
    "ProtocolInfo",
    "Record",
    "RecordInfo",
    "Search",
    "Speed",
    "Summary",
    "Time",
    "read",
]

SCHEMA = 1
FILE = "record.json"
FILES = (FILE, counts.FILE, histograms.FILE)
"""All the files of a record."""

_LIMIT = 256 * 2**10


class RecordInfo(StrictModel):
    """What ``record.json`` says.

    Attributes:
        schema_version: Version of this form.
        run: Id of the run: digest of method, recipe, protocol and seed; also its folder.
        preset: Named set of recipe values that the recipe started from.
        recipe: Every hyper-parameter, as plain values.
        changed: Names of those that are not the preset's.
        seed: The run's seed.
        selection: How the scored epoch was chosen: on validation subjects taken out of training, the
            last one, or on the test role itself (which leaks).
        threshold: Threshold policy: a probability greater than 0.5 counts as present.
        conditions: What was done to the test inputs, in the order of the suite; ``clean`` first.
        pretraining: Ledger of what the weights had seen before.
        device, packages, git: What the first of its folds was finished by.
        also: What else finished folds, if other devices, libraries or code did.
        folds: The folds that were run, ascending.
    """

    schema_version: Literal[1]
    run: Name
    protocol: ProtocolInfo
    dataset: DatasetInfo
    method: MethodInfo
    preset: Name
    recipe: Annotated[dict[Name, JsonValue], Field(max_length=200)]
    changed: Annotated[tuple[Name, ...], Field(max_length=200)] = ()
    seed: Count
    selection: Literal["inner_val", "last", "oracle_test"]
    threshold: Literal["fixed:0.5"]
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1, max_length=500)]
    pretraining: Annotated[tuple[Pretraining, ...], Field(max_length=500)]
    search: Search
    compute: Compute
    speed: Speed
    time: Time
    device: Device
    packages: Packages
    git: Git
    also: Annotated[tuple[Environment, ...], Field(max_length=100)] = ()
    folds: Annotated[tuple[FoldInfo, ...], Field(min_length=1, max_length=100)]
    summary: Summary

    @property
    def environments(self) -> tuple[Environment, ...]:
        """All that finished a fold."""
        return (Environment(device=self.device, packages=self.packages, git=self.git), *self.also)

    @model_validator(mode="after")
    def _check_consistency(self) -> RecordInfo:
        hashing.hash_json(self.recipe)  # refuses numbers that are not finite
        if not set(self.changed) <= set(self.recipe):
            raise ValueError("changed names something that is not in the recipe")
        if self.conditions[0] != counts.CLEAN or len(set(self.conditions)) < len(self.conditions):
            raise ValueError("conditions must begin with 'clean' and name each once")
        numbers = [fold.fold for fold in self.folds]
        if numbers != sorted(set(numbers)):
            raise ValueError("folds must be ascending, each once")
        if not set(self.method.modalities) <= set(self.protocol.modalities):
            raise ValueError("the method uses a modality that the protocol does not offer")
        return self

    @staticmethod
    def parse(text: str | bytes, *, where: object = FILE) -> RecordInfo:
        """Read one from JSON.

        Raises:
            RecordError: A field is unknown, missing, of the wrong type or out of bounds; it is named.
        """
        try:
            return RecordInfo.model_validate_json(text)
        except ValidationError as error:
            raise _validation_error(error, where) from None

    @staticmethod
    def from_fields(fields: dict[str, Any]) -> RecordInfo:
        """Make one from plain data (dicts, lists or tuples, strings, numbers, booleans, ``None``).

        Raises:
            RecordError: As :meth:`parse`.
        """
        return RecordInfo.parse(json.dumps(fields))


def _validation_error(error: ValidationError, where: object) -> RecordError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))[:120] or "record"
    return RecordError(f"{field}: {first['msg']}", where=where)


@dataclass(frozen=True)
class Record:
    """A whole record.

    Attributes:
        info: What ``record.json`` says.
        counts: Confusion counts, see :mod:`aubench.results.counts`.
        histograms: Histograms of probability, see :mod:`aubench.results.histograms`.
    """

    info: RecordInfo
    counts: pd.DataFrame
    histograms: pd.DataFrame

    @property
    def relative_path(self) -> Path:
        """Where it belongs, relative to ``leaderboard/records``: protocol, method, run."""
        return Path(self.info.protocol.name, self.info.method.name, self.info.run)

    def write(self, folder: Path) -> None:
        """Write the three files into ``folder``, ``record.json`` last; equal records give equal bytes."""
        counts.write(self.counts, folder)
        histograms.write(self.histograms, folder)
        atomic.write_json(folder / FILE, self.info.model_dump(mode="json"))


def read(folder: Path) -> Record:
    """Read a record that a stranger may have written.

    Raises:
        RecordError: A file is missing, too large or not of this form; file and field are named.
    """
    path = folder / FILE
    info = RecordInfo.parse(csv_io.read_bounded(path, _LIMIT), where=path)
    return Record(info, counts.read(folder), histograms.read(folder))
