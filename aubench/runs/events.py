"""Events that the process of a fold sends to the process that started it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aubench.runs.fold_result import FoldResult
from aubench.training.state import EpochFinished, GraphFailed


@dataclass(frozen=True)
class TrainingStarted:
    """The start or resumption of a fold's training.

    Attributes:
        stages: Maximum number of epochs of each stage, by name, in order.
    """

    stages: Mapping[str, int]


@dataclass(frozen=True)
class FoldFinished:
    """The end of a fold's training and test.

    Attributes:
        result: Its result; None where another process had finished the fold already.
        epochs: Number of trained epochs.
    """

    result: FoldResult | None
    epochs: int


@dataclass(frozen=True)
class ConditionsEvaluated:
    """The end of a fold's evaluation under test conditions.

    Attributes:
        count: Number of conditions evaluated by this job.
    """

    count: int


@dataclass(frozen=True)
class RunFailed:
    """The failure of a run while other runs go on.

    Attributes:
        reason: Error message.
    """

    reason: str


Event = TrainingStarted | GraphFailed | EpochFinished | FoldFinished | ConditionsEvaluated | RunFailed
