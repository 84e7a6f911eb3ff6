"""Protocols: data set, AUs, subjects of each fold and evaluation rules, read from TOML.

Loading a protocol checks that the roles of each fold are complete and disjoint in subjects.
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
    """Training and test parts of a fold."""

    train: tuple[str, ...]
    test: tuple[str, ...]


class ValidationRule(_StrictModel):
    """Selection of validation subjects from a fold's training parts.

    Attributes:
        fraction: Fraction of the training subjects.
        candidates: Number of random draws of subjects. The draw whose AU rates are closest to those of all training
            parts is the validation role.
    """

    fraction: float = Field(gt=0, lt=0.5)
    candidates: int = Field(ge=1, le=10_000)


class Protocol(_StrictModel):
    """A benchmark protocol.

    Attributes:
        name: Name, equal to that of the file.
        version: Number that increases with every change that could affect results.
        title: Description in one line.
        dataset: Name of the data set.
        modalities: Modalities available to every method.
        aus: FACS numbers, in the order of columns.
        labels: Conversion of label codes to 1, 0 or unknown. ``occurrence`` uses codes 0 and 1 unchanged.
        threshold: Decision rule. A probability above 0.5 counts as present.
        preset: Default recipe preset.
        validation: Selection of validation subjects.
        parts: Disjoint lists of subjects.
        folds: Folds in order. The first is fold 1.
        variants: Known numbers of labelled frames, by name.
        aliases: Fold numbers by their names in other code.
        narrowed_from: Digest of the protocol with all modalities, empty for one from a file.
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
        part_of: dict[str, str] = {}
        for part, subjects in value.items():
            if not subjects:
                raise ValueError(f"{part} has no subject")
            for subject in subjects:
                if subject in part_of:
                    raise ValueError(f"subject {subject} is in {part_of[subject]} and in {part}")
                part_of[subject] = part
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.folds:
            raise ValueError("needs at least one fold")
        for number, fold in enumerate(self.folds, 1):
            self._check_fold(number, fold)
        tested = [part for fold in self.folds for part in fold.test]
        if sorted(tested) != sorted(self.parts):
            raise ValueError("every part must be tested in exactly one fold")
        if unknown := [alias for alias, fold in self.aliases.items() if not 1 <= fold <= len(self.folds)]:
            raise ValueError(f"alias '{unknown[0]}' names a fold that does not exist")
        return self

    def _check_fold(self, number: int, fold: FoldRule) -> None:
        names = [*fold.train, *fold.test]
        if not fold.train or not fold.test:
            raise ValueError(f"fold {number} needs a part to train on and a part to test on")
        if unknown := set(names) - set(self.parts):
            raise ValueError(f"fold {number} names the unknown part '{min(unknown)}'")
        if repeated := {part for part in names if names.count(part) > 1}:
            raise ValueError(f"fold {number} uses {min(repeated)} twice: its roles must be disjoint in subjects")
        if missing := set(self.parts) - set(names):
            raise ValueError(f"fold {number} leaves out {min(missing)}: its roles must be complete")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all fields that affect results, i.e. without title, aliases, preset and variants."""
        excluded = {"title", "aliases", "preset", "variants", *(() if self.narrowed_from else ("narrowed_from",))}
        return hashing.hash_json(self.model_dump(mode="json", exclude=excluded))

    @property
    def seed(self) -> str:
        """Seed of random draws: the digest, for a narrowed protocol that of the full protocol.

        Runs that differ in modalities only thus have the same validation subjects and the same order of frames.
        """
        return self.narrowed_from or self.digest

    @cached_property
    def subjects(self) -> frozenset[str]:
        """All subjects of the protocol."""
        return frozenset(subject for part in self.parts.values() for subject in part)

    def train_subjects(self, fold: int) -> frozenset[str]:
        """Return the subjects of a fold's training parts, including validation."""
        return self._subjects_in(self.folds[fold - 1].train)

    def test_subjects(self, fold: int) -> frozenset[str]:
        """Return the subjects of a fold's test parts."""
        return self._subjects_in(self.folds[fold - 1].test)

    def _subjects_in(self, parts: tuple[str, ...]) -> frozenset[str]:
        return frozenset(subject for part in parts for subject in self.parts[part])

    def fold_number(self, name: str) -> int:
        """Return the number of a fold given by number or alias.

        Raises:
            UsageError: There is no such fold.
        """
        known = {str(number): number for number in range(1, len(self.folds) + 1)} | self.aliases
        if name not in known:
            raise UsageError(f"{self.name} has no fold '{name}'", where="--fold", hint=suggest(name, known))
        return known[name]

    def fold_numbers(self, fold: int | str | None = None) -> list[int]:
        """Return the number of a fold given by number or alias, or those of all folds if None.

        Raises:
            UsageError: There is no such fold.
        """
        return list(range(1, len(self.folds) + 1)) if fold is None else [self.fold_number(str(fold))]

    def narrowed(self, modalities: Iterable[str]) -> Protocol:
        """Return the protocol with fewer modalities, with another digest but the same random draws.

        Raises:
            UsageError: The protocol lacks one of the modalities.
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
        """Return the task of a method with images of this size in pixels."""
        return Task(self.modalities, self.aus, image_size)


def load(path: Path) -> Protocol:
    """Read and validate a protocol.

    Args:
        path: Path of a TOML file.

    Raises:
        ProtocolError: The file is not TOML, a key is unknown or missing, or the roles of a fold overlap or are
            incomplete.
    """
    try:
        content = path.read_bytes()
        if len(content) > _MAX_BYTES:
            raise ProtocolError(f"is larger than {_MAX_BYTES} bytes", where=path)
        values = tomllib.loads(content.decode("utf-8-sig"))
        if "narrowed_from" in values:
            raise ProtocolError("key 'narrowed_from' is not allowed in a file", where=path, hint="use --modalities")
        return Protocol.model_validate(values)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"is not TOML ({error})", where=path) from None
    except ValidationError as error:
        raise ProtocolError(_validation_error(error), where=path) from None


def _validation_error(error: ValidationError) -> str:
    first = min(
        error.errors(), key=lambda detail: detail["type"] != "extra_forbidden"
    )  # a misspelt key before a missing one
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {suggest(key, Protocol.model_fields)}"
    text = first["msg"].removeprefix("Value error, ")
    return f"key '{key}': {text}" if key else text
