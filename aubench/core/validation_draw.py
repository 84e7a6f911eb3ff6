"""Draw of the validation subjects of a fold from its training parts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from aubench.core.protocol import Protocol

LabelCounts = npt.NDArray[np.int64]
"""Numbers of positive and of known labels per AU, int64 (2, AUs)."""


def people(protocol: Protocol, subjects: Iterable[str]) -> list[frozenset[str]]:
    """Group subjects by person, in the order of their first names."""
    names = defaultdict[str, set[str]](set)
    for subject in sorted(subjects):
        names[protocol.person(subject)].add(subject)
    return [frozenset(person) for person in names.values()]


def draw_validation(
    protocol: Protocol, fold: int, subjects: Iterable[str], labels_of: Callable[[frozenset[str]], LabelCounts]
) -> frozenset[str]:
    """Return the draw of people whose AU rates are nearest to those of all training subjects.

    The draws depend on the protocol and the fold alone, so all methods, seeds and modalities share them.

    Args:
        protocol: Protocol with a rule of validation.
        fold: Number of the fold, from 1.
        subjects: Subjects of the training parts, at least two people.
        labels_of: Function that returns the label counts of a person's subjects.
    """
    rule, training = protocol.validation, people(protocol, subjects)
    assert rule is not None
    positive, known = np.stack([labels_of(person) for person in training], axis=1)
    target = positive.sum(0) / known.sum(0).clip(1)
    rng = np.random.RandomState(int(protocol.seed[:7], 16) + fold)
    size = math.ceil(rule.fraction * len(training))
    draws = [np.sort(rng.permutation(len(training))[:size]) for _ in range(rule.candidates)]
    distance = [np.abs(positive[v].sum(0) / known[v].sum(0).clip(1) - target).sum() for v in draws]
    return frozenset().union(*(training[i] for i in draws[int(np.argmin(distance))]))
