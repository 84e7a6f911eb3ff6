"""Protocols: data sets, AUs, subjects of each fold and evaluation rules.

Creating a protocol checks that the roles of each fold are complete and disjoint in subjects.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from aubench.core import hashing, protocol_checks
from aubench.core.errors import UsageError, suggest
from aubench.core.protocol_rules import (
    LABEL_RULE,
    FoldRule,
    FrameList,
    Name,
    Roles,
    SplitRule,
    StrictModel,
    ValidationRule,
    same_person,
)
from aubench.core.task import Modality, Task


class Protocol(StrictModel):
    """A benchmark protocol.

    Protocols on one data set name its subjects as the data set does. Protocols on several qualify them, as in
    ``bp4d:F001``. Only fields that a protocol uses are in its digest.

    Attributes:
        name: Name, equal to that of the file.
        version: Number that increases with every change that could affect results.
        title: Description in one line.
        dataset: Name of the only data set; None if there are several.
        train_on: Names of the data sets of training and validation, if there are several data sets.
        test_on: Names of the data sets of the test, if there are several data sets.
        starts_from: Names of the training data sets of the finished run whose weights a run starts from; none for runs
            that start from the weights of their recipe.
        modalities: Modalities available to every method.
        aus: FACS numbers, in the order of columns.
        labels: Rule that converts the store's labels to 1, 0 or unknown, or one rule for each of several data sets.
            ``occurrence`` uses 0 and 1 unchanged. ``intensity >= n`` is 1 from the intensity n on, 1 to 5.
        threshold: Decision rule. A probability above 0.5 counts as present.
        preset: Default recipe preset.
        validation: Selection of validation subjects; None if ``split`` states them.
        parts: Disjoint lists of subjects.
        folds: Folds in order. The first is fold 1.
        split: Fixed split in place of folds, which is fold 1. Without folds and split, fold 1 trains on all subjects
            of ``train_on`` except those who are tested, and tests all subjects of ``test_on``.
        same_people: Subjects of several names, one tuple of names for each person.
        variants: Known numbers of labelled frames, or lists of frames with their number, by name.
        variant: Name of the list of frames that is used; None for all labelled frames.
        aliases: Fold numbers by their names in other code.
        narrowed_from: Digest of the protocol with all modalities, empty for one from a file.
    """

    name: Name
    version: int = Field(ge=1)
    title: str = Field(max_length=200)
    dataset: Name | None = None
    train_on: tuple[Name, ...] = ()
    test_on: tuple[Name, ...] = ()
    starts_from: tuple[Name, ...] = ()
    modalities: tuple[Modality, ...]
    aus: tuple[int, ...]
    labels: str | dict[Name, str]
    threshold: Literal["fixed:0.5"]
    preset: str
    validation: ValidationRule | None = None
    parts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    folds: tuple[FoldRule, ...] = ()
    split: SplitRule | None = None
    same_people: tuple[tuple[str, ...], ...] = ()
    variants: dict[str, int | FrameList] = Field(default_factory=dict)
    variant: str | None = None
    aliases: dict[str, int] = Field(default_factory=dict)
    narrowed_from: str = Field("", pattern=r"^([0-9a-f]{64})?$")

    @field_validator("modalities")
    @classmethod
    def _in_canonical_order(cls, value: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("needs at least one modality, and each once")
        return Modality.ordered(value)

    @field_validator("aus")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("needs at least one AU, and each once")
        return value

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

    @field_validator("labels")
    @classmethod
    def _label_rules(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        for rule in value.values() if isinstance(value, dict) else [value]:
            if not LABEL_RULE.fullmatch(rule):
                raise ValueError(
                    f"'{rule}' is not a label rule; use 'occurrence' or 'intensity >= n' with n from 1 to 5"
                )
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        protocol_checks.check(self)
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all fields that affect results, i.e. without title, aliases, preset and unused variants."""
        unused = {name for name in _OPTIONAL if not getattr(self, name)}
        excluded = {"title", "aliases", "preset", "variants", *unused}
        content = self.model_dump(mode="json", exclude=excluded)
        return hashing.hash_json(content | ({"variant": self.frames_left_out} if self.variant else {}))

    @property
    def seed(self) -> str:
        """Seed of random draws: the digest, for a narrowed protocol that of the full protocol.

        Runs that differ in modalities only thus have the same validation subjects and the same order of frames.
        """
        return self.narrowed_from or self.digest

    @property
    def frames_left_out(self) -> dict[str, str]:
        """Frames without label in the variant that is used, see :class:`FrameList`."""
        variant = self.variants.get(self.variant or "")
        return variant.without if isinstance(variant, FrameList) else {}

    @property
    def variant_counts(self) -> dict[str, int]:
        """Number of labelled frames of each variant."""
        return {name: v.count if isinstance(v, FrameList) else v for name, v in self.variants.items()}

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets, those of training first."""
        return (self.dataset,) if self.dataset else tuple(dict.fromkeys([*self.train_on, *self.test_on]))

    @property
    def data_name(self) -> str:
        """Names of the data sets, joined by hyphens."""
        return "-".join(self.datasets)

    def dataset_of(self, subject: str) -> str:
        """Return the data set of a subject."""
        return self.dataset or subject.partition(":")[0]

    def names_in(self, dataset: str) -> frozenset[str]:
        """Return the subjects of the protocol's roles as their data set names them."""
        return frozenset(s.rpartition(":")[2] for s in self.subjects if self.dataset_of(s) == dataset)

    @property
    def label_rules(self) -> dict[str, str]:
        """Label rule of each data set."""
        return self.labels if isinstance(self.labels, dict) else dict.fromkeys(self.datasets, self.labels)

    @property
    def converted_labels(self) -> dict[str, str]:
        """Label rules as in records: empty if all are ``occurrence``."""
        return self.label_rules if {*self.label_rules.values()} != {"occurrence"} else {}

    @property
    def fold_count(self) -> int:
        """Number of folds; 1 without ``folds``."""
        return max(len(self.folds), 1)

    @cached_property
    def subjects(self) -> frozenset[str]:
        """All subjects of the protocol's roles."""
        return frozenset().union(*(role for fold in self.fold_numbers() for role in self.roles(fold)))

    def roles(self, fold: int) -> Roles:
        """Return the subjects of the roles of a fold."""
        if self.folds:
            rule = self.folds[fold - 1]
            return Roles(self._subjects_in(rule.train), frozenset(), self._subjects_in(rule.test))
        if self.split:
            return Roles(
                *(self._subjects_in(names) for names in (self.split.train, self.split.validation, self.split.test))
            )
        train, test = (
            {subject for part in self.parts.values() for subject in part if self.dataset_of(subject) in datasets}
            for datasets in (self.train_on, self.test_on)
        )
        tested = {self.person(subject) for subject in test}
        return Roles(frozenset(s for s in train if self.person(s) not in tested), frozenset(), frozenset(test))

    def train_subjects(self, fold: int) -> frozenset[str]:
        """Return the subjects of a fold's training role, including validation subjects that are drawn from it."""
        return self.roles(fold).train

    def test_subjects(self, fold: int) -> frozenset[str]:
        """Return the subjects of a fold's test role."""
        return self.roles(fold).test

    def person(self, subject: str) -> str:
        """Return the first of a subject's names."""
        return next((names[0] for names in self.same_people if subject in names), subject)

    def qualified_person(self, subject: str) -> str:
        """Return the name of a person that holds across protocols, as in ``bp4d:F001``.

        Args:
            subject: Subject of this protocol, or a subject of another one after its data set and a colon.
        """
        name = self.person(subject)
        return same_person(name if ":" in name else f"{self.dataset}:{name}")

    def shares_people(self, dataset: str) -> bool:
        """Return whether people of a data set may be subjects of this protocol."""
        return same_person(f"{dataset}:") in {same_person(f"{name}:") for name in self.datasets}

    def _subjects_in(self, names: tuple[str, ...]) -> frozenset[str]:
        return frozenset(subject for name in names for subject in self.parts.get(name, (name,)))

    def fold_number(self, name: str) -> int:
        """Return the number of a fold given by number or alias.

        Raises:
            UsageError: There is no such fold.
        """
        known = {str(number): number for number in self.fold_numbers()} | self.aliases
        if name not in known:
            raise UsageError(f"{self.name} has no fold '{name}'", where="--fold", hint=suggest(name, known))
        return known[name]

    def fold_numbers(self, fold: int | str | None = None) -> list[int]:
        """Return the number of a fold given by number or alias, or those of all folds if None.

        Raises:
            UsageError: There is no such fold.
        """
        return list(range(1, self.fold_count + 1)) if fold is None else [self.fold_number(str(fold))]

    def narrowed(self, modalities: Iterable[str]) -> Protocol:
        """Return the protocol with fewer modalities, with another digest but the same random draws.

        Raises:
            UsageError: The protocol lacks one of the modalities, or one is given twice.
        """
        names = tuple(modalities)
        if not names:
            raise UsageError("names none", where="--modalities", hint=f"known: {', '.join(self.modalities)}")
        if len(set(names)) < len(names):
            raise UsageError(f"'{','.join(names)}' names one twice", where="--modalities", hint="name each once")
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


_OPTIONAL = ("train_on", "test_on", "starts_from", "split", "same_people", "variant", "narrowed_from")
"""Fields that are in the digest only if they are used."""
