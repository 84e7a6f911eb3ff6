"""Checks of the sequences that a data set returns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from aubench.core.errors import DataError
from aubench.core.protocol_rules import SUBJECT_CHARACTERS, SUBJECT_NAME
from aubench.core.task import Modality

if TYPE_CHECKING:
    from aubench.data.store_writer import Sequence

_COLUMNS = ("frame", "source", "labelled", "missing")


def is_name(name: str) -> bool:
    """Return whether a subject or a sequence may have this name."""
    return re.fullmatch(SUBJECT_NAME, name) is not None and ".." not in name


def check_names(sequence: Sequence, dataset: str, key: tuple[str, str]) -> None:
    """Check the names of a sequence.

    Args:
        sequence: Sequence.
        dataset: Name of the data set.
        key: Names under which the data set announced the sequence.

    Raises:
        DataError: It has other names, or one leaves the folder of the store.
    """
    names = {"subject": sequence.subject, "sequence": sequence.sequence}
    for role, name in names.items():
        if not is_name(name):
            raise DataError(f"'{name}' cannot name a {role}", where=dataset, hint=f"use {SUBJECT_CHARACTERS}")
    if tuple(names.values()) != key:
        what = f"returns {' '.join(names.values())} for {' '.join(key)}"
        raise DataError(what, where=dataset, hint="return the sequence of this subject and this name")


def check_sequence(
    sequence: Sequence, dataset: str, aus: Iterable[int], modalities: Iterable[Modality], size: int
) -> None:
    """Check that a store can hold a sequence as it is.

    Args:
        sequence: Sequence.
        dataset: Name of the data set.
        aus: AUs with a label column.
        modalities: Modalities of the images.
        size: Height and width of the images.

    Raises:
        DataError: The table lacks a column, has one of another type or has frames out of order, or images are missing,
            or of another type or size.
    """
    where = f"{dataset} {sequence.subject} {sequence.sequence}"
    _check_table(sequence, where, aus)
    if sequence.images.keys() != set(modalities):
        raise DataError("does not hold the images of all modalities", where=where, hint="return one array each")
    for modality, images in sequence.images.items():
        if images.dtype != "uint8":
            what = f"has {modality} images of type {images.dtype}"
            raise DataError(what, where=where, hint="return uint8, whose values are 0 to 255")
        expected = (len(sequence.frames), size, size, modality.channels)
        if images.shape != expected:
            has, needs = (" x ".join(map(str, shape)) for shape in (images.shape, expected))
            what = f"has {modality} images of {has} numbers, not {needs}"
            raise DataError(what, where=where, hint="return one image of the option size for each row of the table")


def _check_table(sequence: Sequence, where: str, aus: Iterable[int]) -> None:
    for au in aus:
        if f"AU{au}" not in sequence.frames:
            raise DataError(f"has no label column AU{au}", where=where, hint="add it; -1 is unknown")
    for name in _COLUMNS:
        if name not in sequence.frames:
            raise DataError(f"has no column {name}", where=where, hint="add it to the table of frames")
    numbers, labelled = sequence.frames["frame"], sequence.frames["labelled"]
    if numbers.dtype.kind not in "iu" or numbers.isna().any() or (numbers.abs() >= 2**31).any():
        raise DataError("has frame numbers that are not whole", where=where, hint="write integers below 2³¹")
    if labelled.dtype.kind not in "biu":
        what = f"has a column labelled of type {labelled.dtype}, not bool"
        raise DataError(what, where=where, hint="write True for the frames that are coded")
    if (numbers.diff() <= 0).any():
        what = "has frame numbers that do not ascend, or the same twice"
        raise DataError(what, where=where, hint="sort its frames, and number each once")
