"""Protocols: what is compared, on which subjects, by which rules. Data, read from TOML.

Loading one proves that its roles are disjoint in subjects and complete.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from aubench.core import hashing
from aubench.core.errors import ProtocolError, UsageError, suggest
from aubench.core.task import Modality, Task

_MAX_BYTES = 256 * 1024
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FoldRule(_StrictModel):
    """Which parts a fold trains on and which it is tested on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


class ValidationRule(_StrictModel):
    """How validation subjects are taken out of a fold's training parts.

    Attributes:
        fraction: Share of the training subjects.
        candidates: Subject-exclusive draws among which the one whose AU rates are nearest to the whole
            training role's is taken.
    """

    fraction: float = Field(gt=0, lt=0.5)
    candidates: int = Field(ge=1, le=10_000)


class Protocol(_StrictModel):
    """One benchmark protocol.

    Attributes:
        name: Its name, also that of its file.
        version: Raised whenever a number could change.
        title: One line for people.
        dataset: The dataset whose store it reads.
        modalities: What every method is offered.
        aus: FACS numbers, in the order of columns.
        labels: How a label column becomes 1, 0 or unknown; ``occurrence`` takes codes 0 and 1 as they are.
        threshold: Policy; a probability above 0.5 counts as present.
        preset: The recipe preset that is meant for it.
        validation: How inner validation subjects are chosen.
        parts: Disjoint lists of subjects.
        folds: Fold 1 is the first.
        variants: Names of known counts of labelled frames.
        aliases: Other names of the folds, as other code numbers them.
        narrowed_from: Digest of the protocol that has more modalities; no file says so.
    """

    name: Name
    version: int = Field(ge=1)
    title: str = Field(max_length=200)
    dataset: Name
    modalities: tuple[Modality, ...]
    aus: tuple[int, ...]
    labels: Literal["occurrence"]
    threshold: Literal["fixed:0.5"]
    preset: str
    validation: ValidationRule
    parts: dict[str, tuple[str, ...]]
    folds: tuple[FoldRule, ...]
    variants: dict[str, int] = {}
    aliases: dict[str, int] = {}
    narrowed_from: str = Field("", pattern=r"^([0-9a-f]{64})?$")

    @field_validator("modalities")
    @classmethod
    def _in_canonical_order(cls, value: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("needs at least one modality, and each once")
        return tuple(m for m in Modality if m in value)

    @field_validator("parts")
    @classmethod
    def _exclusive(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        where: dict[str, str] = {}
        for part, subjects in value.items():
            if not subjects:
                raise ValueError(f"{part} has no subject")
            for subject in subjects:
                if subject in where:
                    raise ValueError(f"subject {subject} stands in {where[subject]} and in {part}")
                where[subject] = part
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.folds:
            raise ValueError("needs at least one fold")
        for number, fold in enumerate(self.folds, 1):
            self._prove(number, fold)
        tested = [part for fold in self.folds for part in fold.test]
        if sorted(tested) != sorted(self.parts):
            raise ValueError("every part must be tested in exactly one fold")
        if outside := [alias for alias, fold in self.aliases.items() if not 1 <= fold <= len(self.folds)]:
            raise ValueError(f"alias '{outside[0]}' names a fold that does not exist")
        return self

    def _prove(self, number: int, fold: FoldRule) -> None:
        both = [*fold.train, *fold.test]
        if not fold.train or not fold.test:
            raise ValueError(f"fold {number} needs a part to train on and a part to test on")
        if unknown := set(both) - set(self.parts):
            raise ValueError(f"fold {number} names the unknown part '{min(unknown)}'")
        if twice := {part for part in both if both.count(part) > 1}:
            raise ValueError(f"fold {number} uses {min(twice)} twice: its roles must be disjoint in subjects")
        if missing := set(self.parts) - set(both):
            raise ValueError(f"fold {number} leaves out {min(missing)}: its roles must be complete")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that can change a number (titles, aliases and defaults cannot)."""
        without = {"title", "aliases", "preset", "variants", *(() if self.narrowed_from else ("narrowed_from",))}
        return hashing.hash_json(self.model_dump(mode="json", exclude=without))

    @property
    def seed(self) -> str:
        """What its random draws are named after: its digest, or that of the protocol that it was narrowed from.

        So runs that differ in modalities alone validate on the same subjects and see frames in the same order.
        """
        return self.narrowed_from or self.digest

    @cached_property
    def subjects(self) -> frozenset[str]:
        """Everybody in it."""
        return frozenset(subject for part in self.parts.values() for subject in part)

    def train_subjects(self, fold: int) -> frozenset[str]:
        """Subjects of a fold's training parts, validation included."""
        return self._in(self.folds[fold - 1].train)

    def test_subjects(self, fold: int) -> frozenset[str]:
        """Subjects of a fold's test parts."""
        return self._in(self.folds[fold - 1].test)

    def _in(self, parts: tuple[str, ...]) -> frozenset[str]:
        return frozenset(subject for part in parts for subject in self.parts[part])

    def fold_number(self, name: str) -> int:
        """The number of a fold that the user named by number or alias.

        Raises:
            UsageError: There is no such fold.
        """
        known = {str(number): number for number in range(1, len(self.folds) + 1)} | self.aliases
        if name not in known:
            raise UsageError(f"{self.name} has no fold '{name}'", where="--fold", hint=suggest(name, known))
        return known[name]

    def narrowed(self, modalities: Iterable[str]) -> Protocol:
        """The same protocol with fewer modalities: another digest, so another row, but the same random draws.

        Raises:
            UsageError: It does not have one of them.
        """
        names = tuple(modalities)
        for name in names:
            if name not in self.modalities:
                raise UsageError(
                    f"{self.name} has no {name}", where="--modalities", hint=suggest(name, self.modalities)
                )
        if set(names) == set(self.modalities):
            return self
        return Protocol.model_validate(self.model_dump() | {"modalities": names, "narrowed_from": self.seed})

    def task(self, image_size: int) -> Task:
        """What it asks of a method that sees images of this size in pixels."""
        return Task(self.modalities, self.aus, image_size)


def load(path: Path) -> Protocol:
    """Read and prove a protocol.

    Args:
        path: A TOML file.

    Raises:
        ProtocolError: It is not TOML, has an unknown or missing key, or its roles overlap or leave
            somebody out.
    """
    try:
        content = path.read_bytes()
        if len(content) > _MAX_BYTES:
            raise ProtocolError(f"is larger than {_MAX_BYTES} bytes", where=path)
        said = tomllib.loads(content.decode())
        if "narrowed_from" in said:
            raise ProtocolError("key 'narrowed_from' is not for files", where=path, hint="use --modalities")
        return Protocol.model_validate(said)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"is not TOML ({error})", where=path) from None
    except ValidationError as error:
        raise ProtocolError(_validation_error(error), where=path) from None


def _validation_error(error: ValidationError) -> str:
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # misspelt before missing
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {suggest(key, Protocol.model_fields)}"
    text = first["msg"].removeprefix("Value error, ")
    return f"key '{key}': {text}" if key else text
