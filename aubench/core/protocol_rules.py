"""Rules of protocols: roles, validation, labels and lists of frames."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

LABEL_RULE = re.compile(r"occurrence|intensity >= [1-5]")
SUBJECT_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9 _.+()-]{0,78}[A-Za-z0-9_)+-])?"
"""Pattern of the name of a subject in its data set, of at most 80 characters."""
SUBJECT_CHARACTERS = "letters and digits of ASCII, and inside the name also spaces and _ . + - ( )"
"""Characters of such a name, in words."""
QUALIFIED_SUBJECT = rf"(?:[a-z0-9_]{{1,64}}:)?{SUBJECT_NAME}"
"""Pattern of a subject, which protocols on several data sets qualify by its data set."""


def _check_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,64}", value, re.ASCII):
        raise ValueError(f"'{value[:80]}' is not a name; use 1 to 64 letters a to z, digits and _")
    return value


Name = Annotated[str, AfterValidator(_check_name)]
"""Name of a protocol, a suite or a data set."""


class StrictModel(BaseModel):
    """Base model without unknown fields, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FoldRule(StrictModel):
    """Training and test parts of a fold."""

    train: tuple[str, ...]
    test: tuple[str, ...]


class SplitRule(FoldRule):
    """Parts, or subjects of a protocol without parts, of each role of a fixed split.

    Attributes:
        train: Training role, without validation.
        validation: Validation role; if empty, it is drawn from training.
        test: Test role.
    """

    validation: tuple[str, ...] = ()


class FrameList(StrictModel):
    """Variant of the labelled frames that leaves some out.

    Attributes:
        count: Number of labelled frames.
        without: Numbers of frames that have no label in this variant, like ``198-201, 335``, by subject or by subject
            and sequence (``F017/T3``).
    """

    count: int
    without: dict[str, str]

    @field_validator("without")
    @classmethod
    def _are_ranges(cls, value: dict[str, str]) -> dict[str, str]:
        for text in value.values():
            frame_ranges(text)
        return value


class Roles(NamedTuple):
    """Subjects of the roles of a fold, disjoint in people.

    Attributes:
        train: Training role, including validation subjects that are drawn from it.
        validation: Validation role that the protocol states, or empty.
        test: Test role.
    """

    train: frozenset[str]
    validation: frozenset[str]
    test: frozenset[str]


class ValidationRule(StrictModel):
    """Selection of validation subjects from a fold's training parts.

    Attributes:
        fraction: Fraction of the training subjects.
        candidates: Number of random draws of subjects. The draw whose AU rates are closest to those of all training
            parts is the validation role.
    """

    fraction: float = Field(gt=0, lt=0.5)
    candidates: int = Field(ge=1, le=10_000)


def frame_ranges(text: str) -> list[tuple[int, int]]:
    """Return the first and the last number of each range in a text like ``198-201, 335``."""
    ranges = []
    for word in text.split(","):
        match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", word.strip(), re.ASCII)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"'{word.strip()}' is not a frame number or a range like 198-201")
        ranges.append((int(match[1]), int(match[2] or match[1])))
    return ranges


def same_person(subject: str) -> str:
    """Return the first name of a person in several data sets. All people of DISFA+ are in DISFA under the same names.

    Args:
        subject: Subject after its data set and a colon.
    """
    return subject.replace("disfaplus:", "disfa:")
