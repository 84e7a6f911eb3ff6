"""Types of the fields of records, with their bounds, and the base models of their parts."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

from aubench.core.protocol_rules import QUALIFIED_SUBJECT
from aubench.core.task import Modality
from aubench.results import counts

_Item = TypeVar("_Item")
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""Name that is valid as part of a path."""
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,300}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Subject = Annotated[str, StringConstraints(pattern=f"^{QUALIFIED_SUBJECT}$")]
Subjects = Annotated[tuple[Subject, ...], Field(max_length=2000)]
Condition = Annotated[str, StringConstraints(pattern=f"^{counts.CONDITION}$")]
LabelRule = Annotated[str, StringConstraints(pattern=r"^(occurrence|intensity >= [1-5])$")]
SmallInt = Annotated[int, Field(ge=1, le=999)]
AuName = Annotated[str, StringConstraints(pattern=f"^AU{counts.SMALL}$")]
MAX_COUNT = 10**15
"""Largest count or seed in a record."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Duration = Annotated[float, Field(ge=0, le=1e12)]
Share = Annotated[float, Field(ge=0, le=1)]


def _each_once(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    if len(set(values)) < len(values):
        raise ValueError("names one twice")
    return values


Modalities = Annotated[tuple[Modality, ...], Field(min_length=1, max_length=20), AfterValidator(_each_once)]
AUs = Annotated[tuple[SmallInt, ...], Field(min_length=1, max_length=100), AfterValidator(_each_once)]


class StrictModel(BaseModel):
    """Base model: no unknown fields, immutable, strict types, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SparseModel(StrictModel):
    """Base model that leaves out fields that are None, except those in ``always``."""

    always: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _drop_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None or name in self.always}


class SeveralDatasetsModel(StrictModel):
    """Base model that leaves out empty tables by data set."""

    @model_serializer(mode="wrap")
    def _drop_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value != {}}
