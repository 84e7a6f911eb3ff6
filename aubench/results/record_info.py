"""Content of a record's ``record.json``: the protocol, method, training and environment of a run.

Records are untrusted input: every field has a type and a bound, and unknown fields are rejected.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator
from pydantic_core import from_json

from aubench.core import hashing
from aubench.core.errors import RecordError
from aubench.results import counts, submission
from aubench.results.field_types import Condition, Count, Name, Sha256, StrictModel
from aubench.results.run_costs import Compute, Device, Environment, Git, Packages, Speed, Time
from aubench.results.schema import (
    DatasetInfo,
    FoldInfo,
    MethodInfo,
    Pretraining,
    ProtocolInfo,
    Search,
    StoredSummary,
    TableDigests,
)
from aubench.results.submission import SUBMITTED

Selection = Literal["inner_val", "last", "oracle_test", "submitted"]
"""Rule that chooses the scored epoch; ``submitted`` if predictions were submitted, whose training was not seen."""
SELECTIONS: tuple[str, ...] = tuple(rule for rule in get_args(Selection) if rule != SUBMITTED)
"""Rules of runs."""
SCHEMA = 2
"""Schema version of new records; records of version 1 are also read."""
FILE = "record.json"
IMAGE_FIELDS = frozenset({"image_size", "crop"})
"""Recipe fields that determine the size of images."""
BUDGET_FIELDS = frozenset({"epochs", "frames_per_epoch", "patience", "pretrain_epochs", "pretrain_frames_per_epoch"})
"""Fields of a recipe that say how long to train. A search of a leaderboard does not change them."""
EXTERNAL_SOURCES = frozenset({"path", "entry_point"})
"""Sources of methods from outside this repository."""
DEMO_PRESETS = frozenset({"tiny"})
"""Presets whose training stops before methods have learnt. Leaderboards do not rank their runs."""

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
        return self.method.source in EXTERNAL_SOURCES

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

    @property
    def environment_fields(self) -> dict[str, Environment]:
        """All environments, by the beginning of the names of their fields."""
        further = (f"other_environments.{i}." for i in range(len(self.other_environments)))
        return dict(zip(("", *further), self.environments, strict=False))

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
