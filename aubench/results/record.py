"""Record of a run for the leaderboard: counts and provenance, no pixels, no weights.

A record is a folder with these files::

    record.json      provenance (:class:`RecordInfo`)
    counts.csv       confusion counts per condition, fold, subject and AU (:mod:`aubench.results.counts`)
    histograms.csv   predicted probabilities per condition, fold, AU and label (:mod:`aubench.results.histograms`)
    epochs.csv       learning curves (:mod:`aubench.results.epochs`); earlier versions wrote none

Records are untrusted input: every field has a type and a bound, unknown fields are rejected, and all scores are
computed from counts and histograms.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pandas as pd
from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator
from pydantic_core import from_json

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.errors import RecordError
from aubench.results import counts, csv_io, epochs, histograms, submission
from aubench.results.csv_io import CsvTable
from aubench.results.schema import (
    Compute,
    Condition,
    Count,
    DatasetInfo,
    Device,
    Environment,
    FoldInfo,
    Git,
    MethodInfo,
    Name,
    Packages,
    Pretraining,
    ProtocolInfo,
    Search,
    Sha256,
    Speed,
    StoredSummary,
    StrictModel,
    TableDigests,
    Time,
)
from aubench.results.submission import SUBMITTED

Selection = Literal["inner_val", "last", "oracle_test", "submitted"]
"""Rule that chooses the scored epoch; ``submitted`` if predictions were submitted, whose training was not seen."""
SELECTIONS: tuple[str, ...] = tuple(rule for rule in get_args(Selection) if rule != SUBMITTED)
"""Rules of runs."""
SCHEMA = 2
"""Schema version of new records; records of version 1 are also read."""
FILE = "record.json"
FILES = (FILE, counts.FILE, histograms.FILE)
"""Names of the files that every record has."""
ALL_FILES = (*FILES, epochs.FILE)
DEMO_PRESETS = frozenset({"tiny"})
"""Presets whose training stops before methods have learnt. Leaderboards do not rank their runs."""

_LIMIT = 256 * 2**10
_SCHEMA_1_NAMES = {"overrides": "changed", "other_environments": "also", "stored_summary": "summary"}
"""Names of fields in ``record.json`` of schema 1, by attribute."""


class RecordInfo(StrictModel):
    """Content of ``record.json``.

    If predictions were submitted, the file has no fields of training (:mod:`aubench.results.submission`).

    Attributes:
        schema_version: Version of the format.
        run: Id of the run, a digest of method, recipe, protocol and seed; also the name of the record's folder.
        preset: Named recipe that the values started from.
        recipe: All hyper-parameters.
        files: SHA-256 of the files that hyper-parameters name, e.g. initial weights, by the hyper-parameter's name. The
            file has no such field if there are none.
        overrides: Names of the hyper-parameters that differ from the preset.
        seed: Seed of the run.
        selection: Rule that chose the scored epoch: validation subjects taken from training, the last epoch, or the
            test role (which leaks). ``submitted`` if predictions were submitted.
        threshold: Threshold policy; a probability greater than 0.5 counts as present.
        conditions: Test conditions in the order of the suite, ``clean`` first.
        corruptions: SHA-256 of the code of those corruptions that are plug-ins, by name. The file has no such field if
            there are none.
        predictions: SHA-256 of the submitted predictions under clean inputs. The file of a run has no such field.
        pretraining: Data that the weights were trained on before.
        compute, time: Cost of the model and start of the run; None if predictions were submitted.
        device, packages, git: Environment that finished the first fold; no device if predictions were submitted.
        other_environments: Further environments that finished folds.
        folds: Folds that were run, ascending.
        tables: Digests of the tables; None in schema 1.
        stored_summary: Scores as stored by schema 1; None in schema 2.
    """

    schema_version: Literal[1, 2]
    run: Name
    protocol: ProtocolInfo
    dataset: DatasetInfo
    method: MethodInfo
    preset: Name
    recipe: Annotated[dict[Name, JsonValue], Field(max_length=200)]
    files: Annotated[dict[Name, Sha256], Field(max_length=200, default_factory=dict)]
    overrides: Annotated[tuple[Name, ...], Field(max_length=200)] = ()
    seed: Count
    selection: Selection
    threshold: Literal["fixed:0.5"]
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1, max_length=500)]
    corruptions: Annotated[dict[Name, Sha256], Field(max_length=100, default_factory=dict)]
    predictions: Sha256 | None = None
    pretraining: Annotated[tuple[Pretraining, ...], Field(max_length=500)]
    search: Search
    compute: Compute | None
    speed: Speed
    time: Time | None
    device: Device | None
    packages: Packages
    git: Git
    other_environments: Annotated[tuple[Environment, ...], Field(max_length=100)] = ()
    folds: Annotated[tuple[FoldInfo, ...], Field(min_length=1, max_length=100)]
    tables: TableDigests | None = None
    stored_summary: StoredSummary | None = None

    @property
    def is_demo(self) -> bool:
        """Whether the run is a demonstration, which is not ranked."""
        return self.preset in DEMO_PRESETS

    @property
    def is_external(self) -> bool:
        """Whether the run is of a method from outside this repository."""
        return self.method.source in ("path", "entry_point")

    @property
    def is_submitted(self) -> bool:
        """Whether predictions were submitted and their training was not seen."""
        return self.selection == SUBMITTED

    @property
    def origins(self) -> tuple[str, ...]:
        """Runs that the weights are from, without their seeds, and other stores of pre-training."""
        items = self.pretraining
        runs = {item.source for item in items if item.run}
        return (*sorted(runs), *sorted({f"pre-trained on store {item.store[:8]}" for item in items if item.store}))

    @property
    def environments(self) -> tuple[Environment, ...]:
        """All environments that finished a fold."""
        if self.device is None:
            return ()
        return (Environment(device=self.device, packages=self.packages, git=self.git), *self.other_environments)

    @model_validator(mode="after")
    def _check_consistency(self) -> RecordInfo:
        self._check_origin()
        hashing.hash_json(self.recipe)  # rejects numbers that are not finite
        if (self.stored_summary is None, self.tables is None) != (self.schema_version == 2, self.schema_version == 1):
            raise ValueError("a record of schema 1 has a summary, a record of schema 2 has the digests of its tables")
        if not set(self.overrides) <= set(self.recipe):
            raise ValueError("overrides names something that is not in the recipe")
        if not set(self.files) <= set(self.recipe):
            raise ValueError("files names something that is not in the recipe")
        if self.conditions[0] != counts.CLEAN or len(set(self.conditions)) < len(self.conditions):
            raise ValueError("conditions must begin with 'clean' and name each once")
        numbers = [fold.fold for fold in self.folds]
        if numbers != sorted(set(numbers)):
            raise ValueError("folds must be ascending, each once")
        if not set(self.method.modalities) <= set(self.protocol.modalities):
            raise ValueError("the method uses a modality that the protocol does not offer")
        return self

    def _check_origin(self) -> None:
        seen = (self.compute, self.time, self.device, self.method.fidelity, self.method.source)
        if not self.is_submitted and None in (*seen, *(fold.checkpoint for fold in self.folds)):
            raise ValueError("only a record of submitted predictions has no cost, time, device, source or checkpoint")
        if self.is_submitted == (self.predictions is None):
            raise ValueError("predictions and the selection 'submitted' belong together")
        if self.is_submitted and self.schema_version == 1:
            raise ValueError("a record of submitted predictions has schema 2")

    @model_serializer(mode="wrap")
    def _file_form(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Use the names of the record's schema version; in schema 1, leave out fields that the file did not have."""
        fields = handler(self)
        if self.schema_version == 1:
            present = self.model_fields_set - {"tables"}
            return {_SCHEMA_1_NAMES.get(name, name): value for name, value in fields.items() if name in present}
        absent = {"stored_summary"} | {name for name in ("files", "corruptions", "predictions") if not fields[name]}
        fields = {name: value for name, value in fields.items() if name not in absent}
        return submission.drop_unseen(fields) if self.is_submitted else fields

    @staticmethod
    def parse(text: str | bytes, *, where: object = FILE) -> RecordInfo:
        """Read the content of ``record.json``, of schema 1 or 2.

        Raises:
            RecordError: A field is unknown, missing, of the wrong type or out of bounds. The error names it.
        """
        try:
            fields = from_json(text)
        except ValueError as error:
            raise RecordError(f"record: Invalid JSON: {error}", where=where) from None
        return _parse_fields(fields, where)

    @staticmethod
    def from_fields(fields: dict[str, Any]) -> RecordInfo:
        """Create one from plain data (dicts, lists or tuples, strings, numbers, booleans, ``None``).

        Raises:
            RecordError: As :meth:`parse`.
        """
        return _parse_fields(fields, FILE)


def _parse_fields(fields: Any, where: object) -> RecordInfo:
    if not isinstance(fields, dict):
        raise RecordError("is not a JSON object", where=where)
    names = _SCHEMA_1_NAMES if fields.get("schema_version") == 1 else {}
    for attribute in fields.keys() & (names.keys() or {"stored_summary"}):
        raise RecordError(f"{attribute}: Extra inputs are not permitted", where=where)
    if fields.get("selection") == SUBMITTED:
        fields = submission.add_unseen(fields, where)
    attributes = {name: attribute for attribute, name in names.items()}
    try:
        text = json.dumps({attributes.get(k, k): v for k, v in fields.items()})
    except (ValueError, RecursionError) as error:  # a number of thousands of digits
        raise RecordError(f"record: Invalid JSON: {error}", where=where) from None
    try:
        return RecordInfo.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        attribute, *inner = first["loc"] or ("record",)
        field = ".".join(map(str, (names.get(str(attribute), attribute), *inner)))[:120]
        raise RecordError(f"{field}: {first['msg']}", where=where) from None


@dataclass(frozen=True, eq=False)
class Record:
    """Record of a run; :func:`aubench.metrics.scores.summary_of` computes its scores.

    Attributes:
        info: Content of ``record.json``.
        counts: Confusion counts, see :mod:`aubench.results.counts`.
        histograms: Histograms of predicted probability, see :mod:`aubench.results.histograms`.
        epochs: Learning curves, see :mod:`aubench.results.epochs`; None if the record has none.
        file_digests: SHA-256 of the files that it was read from, by name; None if it was made from data.
    """

    info: RecordInfo
    counts: pd.DataFrame
    histograms: pd.DataFrame
    epochs: pd.DataFrame | None = None
    file_digests: dict[str, str] | None = field(init=False, default=None)

    @cached_property
    def count_table(self) -> CsvTable:
        """``counts`` without a data frame."""
        return CsvTable.from_dataframe(self.counts[[*counts.KEY, *counts.CELLS]], counts.KEY.index("au"))

    @cached_property
    def histogram_table(self) -> CsvTable:
        """``histograms`` without a data frame."""
        return CsvTable.from_dataframe(self.histograms, histograms.KEY.index("fold"))

    @cached_property
    def epoch_table(self) -> CsvTable | None:
        """``epochs`` without a data frame."""
        return None if self.epochs is None else CsvTable.from_dataframe(self.epochs, self.epochs.shape[1])

    @staticmethod
    def create(
        fields: dict[str, Any],
        counts_table: pd.DataFrame,
        histograms_table: pd.DataFrame,
        epochs_table: pd.DataFrame | None = None,
    ) -> Record:
        """Create a record of the current schema.

        Args:
            fields: Content of ``record.json`` without ``schema_version`` and ``tables``.
            counts_table: Confusion counts.
            histograms_table: Histograms of predicted probability.
            epochs_table: Learning curves.

        Raises:
            RecordError: As :meth:`RecordInfo.parse`, or a table is malformed.
        """
        curves = None if epochs_table is None else epochs.canonical(epochs_table)
        tables = counts.canonical(counts_table), histograms.canonical(histograms_table), curves
        return Record(
            RecordInfo.from_fields({"schema_version": SCHEMA, **fields, "tables": _digests(*tables)}), *tables
        )

    @property
    def relative_path(self) -> Path:
        """Folder relative to ``leaderboard/records``: protocol, method, run."""
        return Path(self.info.protocol.name, self.info.method.name, self.info.run)

    def table_digests(self) -> TableDigests:
        """Return the SHA-256 of each table as a file. A file that was read is canonical, so its digest is known."""
        if self.file_digests is None:
            return TableDigests(**_digests(self.counts, self.histograms, self.epochs))
        names = {"counts": counts.FILE, "histograms": histograms.FILE, "epochs": epochs.FILE}
        return TableDigests(**{k: self.file_digests[name] for k, name in names.items() if name in self.file_digests})

    def write(self, folder: Path) -> None:
        """Write the files into ``folder``, ``record.json`` last; equal records give equal bytes.

        In schema 2, ``record.json`` gets the digests of the tables as written.
        """
        counts.write(self.counts, folder)
        histograms.write(self.histograms, folder)
        if self.epochs is None:
            (folder / epochs.FILE).unlink(missing_ok=True)
        else:
            epochs.write(self.epochs, folder)
        fields = self.info.model_dump(mode="json")
        if "tables" in fields:
            files = {"counts": counts.FILE, "histograms": histograms.FILE, "epochs": epochs.FILE}
            present = {name: folder / file for name, file in files.items() if (folder / file).exists()}
            fields["tables"] = {name: hashing.hash_file(path) for name, path in present.items()}
        atomic.write_json(folder / FILE, fields)


class _ReadRecord(Record):
    """Record that makes the data frames of its tables on first use."""

    def __init__(self, info: RecordInfo, digest: str, tables: Sequence[CsvTable | None]) -> None:
        count_table, histogram_table, epoch_table = tables
        files = zip(ALL_FILES[1:], tables, strict=True)
        digests = {FILE: digest, **{name: table.digest for name, table in files if table}}
        self.__dict__.update(info=info, file_digests=digests)
        self.__dict__.update(count_table=count_table, histogram_table=histogram_table, epoch_table=epoch_table)

    @cached_property
    def counts(self) -> pd.DataFrame:
        return self.count_table.to_dataframe()

    @cached_property
    def histograms(self) -> pd.DataFrame:
        return self.histogram_table.to_dataframe()

    @cached_property
    def epochs(self) -> pd.DataFrame | None:
        return None if self.epoch_table is None else self.epoch_table.to_dataframe()


def read(folder: Path) -> Record:
    """Read a record; its files are untrusted.

    Raises:
        RecordError: A file is missing, too large or malformed. The error names the file and the field.
    """
    path = folder / FILE
    content = csv_io.read_bounded(path, _LIMIT)
    info = RecordInfo.parse(content, where=path)
    if content != atomic.json_text(info.model_dump(mode="json")).encode():
        raise RecordError(_not_canonical(content), where=path)
    tables = counts.load(folder), histograms.load(folder), load_epochs(folder, info)
    return _ReadRecord(info, hashlib.sha256(content).hexdigest(), tables)


def _not_canonical(content: bytes) -> str:
    """Describe the difference from the bytes that :meth:`Record.write` writes."""
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        repeated.extend(name for name in names if names.count(name) > 1)
        return dict(pairs)

    json.loads(content, object_pairs_hook=collect)
    if repeated:
        return f"{repeated[0]}: occurs twice"
    return (
        "its bytes are not those that aubench writes: spacing, order of fields, or the form of a number or text differs"
    )


def load_epochs(folder: Path, info: RecordInfo) -> CsvTable | None:
    """Read the learning curves of a record; None if it has none.

    Raises:
        RecordError: The file is malformed, or ``record.json`` does not list it.
    """
    if info.tables is not None and info.tables.epochs is not None:
        return epochs.load(folder)
    if os.path.lexists(folder / epochs.FILE):
        raise RecordError(f"has no digest in {FILE}", where=folder / epochs.FILE)
    return None


def _digests(
    counts_table: pd.DataFrame, histograms_table: pd.DataFrame, epochs_table: pd.DataFrame | None
) -> dict[str, str]:
    """Compute the SHA-256 of tables in canonical form as files."""
    texts = {"counts": csv_io.table_text(counts_table), "histograms": csv_io.table_text(histograms_table)}
    if epochs_table is not None:
        texts["epochs"] = epochs.to_text(epochs_table)
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
