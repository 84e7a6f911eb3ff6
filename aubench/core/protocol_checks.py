"""Checks of protocols: data sets, label rules, and roles that are complete and disjoint in people.

All functions raise ``ValueError`` with a text that completes "key ...".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from itertools import combinations
from typing import TYPE_CHECKING

from aubench.core.protocol_rules import SUBJECT_CHARACTERS, SUBJECT_NAME, same_person

if TYPE_CHECKING:
    from aubench.core.protocol import Protocol
    from aubench.core.protocol_rules import FoldRule, SplitRule

MAX_NAMES = 200
"""Largest number of characters of the joined names of data sets."""


def check(protocol: Protocol) -> None:
    """Check a protocol whose fields are valid each."""
    _check_datasets(protocol)
    _check_folds(protocol)
    listed = {subject for part in protocol.parts.values() for subject in part} or set().union(*protocol.roles(1))
    _check_names(protocol, listed)
    _check_people(protocol, listed)
    for number in protocol.fold_numbers():
        _check_roles(protocol, number)
    if protocol.variant and not protocol.frames_left_out:
        raise ValueError(f"variant '{protocol.variant}' is not a list of frames in variants")
    if unknown := {key.partition("/")[0] for key in protocol.frames_left_out} - listed:
        raise ValueError(f"variant '{protocol.variant}' names the unknown subject '{min(unknown)}'")


def _check_folds(protocol: Protocol) -> None:
    if protocol.folds and protocol.split:
        raise ValueError("has folds and a split; use one of them")
    if not protocol.folds and not protocol.split and protocol.dataset:
        raise ValueError("needs at least one fold, or a split")
    if not protocol.validation and not (protocol.split and protocol.split.validation):
        raise ValueError("needs the key 'validation', or validation subjects in the split")
    for number, fold in enumerate(protocol.folds, 1):
        _check_fold(protocol, number, fold)
    if protocol.folds:
        testable = [part for part in protocol.parts if _datasets_of(protocol, part) & {*_test_on(protocol)}]
        if sorted(part for fold in protocol.folds for part in fold.test) != sorted(testable):
            raise ValueError("every part must be tested in exactly one fold")
    if protocol.split:
        _check_split(protocol, protocol.split)
    if unknown := [alias for alias, fold in protocol.aliases.items() if not 1 <= fold <= protocol.fold_count]:
        raise ValueError(f"alias '{unknown[0]}' names a fold that does not exist")


def _train_on(protocol: Protocol) -> tuple[str, ...]:
    return protocol.train_on or protocol.datasets


def _test_on(protocol: Protocol) -> tuple[str, ...]:
    return protocol.test_on or protocol.datasets


def _check_datasets(protocol: Protocol) -> None:
    if protocol.dataset and (protocol.train_on or protocol.test_on):
        raise ValueError("has dataset and train_on or test_on; use either one")
    if not protocol.dataset and not (protocol.train_on and protocol.test_on):
        raise ValueError("needs the key 'dataset', or 'train_on' and 'test_on'")
    if not protocol.dataset and len(protocol.datasets) == 1:
        raise ValueError(f"trains and tests on {protocol.data_name} alone; use dataset")
    for names in (protocol.train_on, protocol.test_on, protocol.starts_from):
        if len(set(names)) < len(names):
            raise ValueError("names a data set twice in train_on, test_on or starts_from")
    if len(protocol.data_name) > MAX_NAMES:
        raise ValueError(f"names of data sets have more than {MAX_NAMES} characters")
    if both := set(protocol.train_on) & set(protocol.test_on) if not protocol.folds and not protocol.split else set():
        raise ValueError(f"trains and tests on {min(both)}; state the roles in folds or a split")
    if isinstance(protocol.labels, dict) and set(protocol.labels) != set(protocol.datasets):
        raise ValueError(f"labels needs one rule for each of {', '.join(protocol.datasets)}")


def _check_fold(protocol: Protocol, number: int, fold: FoldRule) -> None:
    names = [*fold.train, *fold.test]
    if not fold.train or not fold.test:
        raise ValueError(f"fold {number} needs a part to train on and a part to test on")
    if unknown := set(names) - set(protocol.parts):
        raise ValueError(f"fold {number} names the unknown part '{min(unknown)}'")
    if repeated := _repeated(names):
        raise ValueError(f"fold {number} uses {repeated} twice: its roles must be disjoint in subjects")
    trainable = {part for part in protocol.parts if _datasets_of(protocol, part) <= {*_train_on(protocol)}}
    if missing := trainable - set(names):
        raise ValueError(f"fold {number} leaves out {min(missing)}: its roles must be complete")


def _check_split(protocol: Protocol, split: SplitRule) -> None:
    names = [*split.train, *split.validation, *split.test]
    if not split.train or not split.test:
        raise ValueError("the split needs train and test")
    if unknown := set(names) - set(protocol.parts or names):
        raise ValueError(f"the split names the unknown part '{min(unknown)}'")
    if repeated := _repeated(names):
        raise ValueError(f"the split uses {repeated} twice: its roles must be disjoint in subjects")
    if missing := set(protocol.parts) - set(names):
        raise ValueError(f"the split leaves out {min(missing)}: its roles must be complete")


def _check_names(protocol: Protocol, subjects: Iterable[str]) -> None:
    several = len(protocol.datasets) > 1
    for subject in sorted(subjects):
        dataset, colon, name = subject.rpartition(":")
        if not re.fullmatch(SUBJECT_NAME, name):
            raise ValueError(f"subject {subject[:80]!r} needs a name of at most 80 characters: {SUBJECT_CHARACTERS}")
        if bool(colon) != several:
            form = f"{protocol.datasets[0]}:{name}" if several else name
            raise ValueError(f"subject {subject} must be written like {form}")
        if several and dataset not in protocol.datasets:
            raise ValueError(f"subject {subject} is of none of the data sets {', '.join(protocol.datasets)}")


def _check_people(protocol: Protocol, known: AbstractSet[str]) -> None:
    """Check the declared names of people."""
    for names in protocol.same_people:
        if len(names) < 2:
            raise ValueError("same_people needs two or more names of each person")
        if unknown := set(names).difference(known):
            raise ValueError(f"same_people names the unknown subject '{min(unknown)}'")
    if repeated := _repeated([name for names in protocol.same_people for name in names]):
        raise ValueError(f"same_people names {repeated} twice")
    for name in sorted(known):
        other = same_person(name)
        if other != name and other in known and protocol.person(name) != protocol.person(other):
            raise ValueError(f"{other} and {name} are one person; declare it in same_people")


def _check_roles(protocol: Protocol, number: int) -> None:
    roles = protocol.roles(number)
    for role, key, datasets in (
        (roles.train | roles.validation, "train_on", _train_on(protocol)),
        (roles.test, "test_on", _test_on(protocol)),
    ):
        if odd := [subject for subject in sorted(role) if protocol.dataset_of(subject) not in datasets]:
            raise ValueError(f"fold {number} uses {odd[0]}, whose data set is not in {key}")
    if not roles.train or not roles.test:
        raise ValueError("has no subject to train on, or none to test")
    names: dict[str, str] = {}
    for subject in sorted(roles.test):
        if (earlier := names.setdefault(protocol.person(subject), subject)) != subject:
            raise ValueError(
                f"fold {number} tests on {earlier} and {subject}, and same_people says that they are one person; "
                "leave one of them out, because intervals and tests need independent subjects"
            )
    for one, other in combinations(roles, 2):
        people = {protocol.person(subject): subject for subject in one}
        for subject in sorted(other):
            if protocol.person(subject) in people:
                raise ValueError(
                    f"fold {number} has {people[protocol.person(subject)]} and {subject} in two roles, "
                    "and same_people says that they are one person"
                )


def _datasets_of(protocol: Protocol, part: str) -> set[str]:
    return {protocol.dataset_of(subject) for subject in protocol.parts[part]}


def _repeated(names: list[str]) -> str:
    return min((name for name, count in Counter(names).items() if count > 1), default="")
