"""State of a training, apart from tensors, and the event at the end of an epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aubench._util import atomic, ranks


@dataclass(frozen=True)
class EpochFinished:
    """The end of a training epoch.

    Attributes:
        stage: Name of the stage.
        epoch: Number of the epoch within the stage, from 1.
        epochs: Maximum number of epochs of the stage.
        loss: Mean of each loss term.
        validation: F1 and accuracy on the validation role; None if nothing is validated.
        frames_per_s: Training speed.
    """

    stage: str
    epoch: int
    epochs: int
    loss: dict[str, float]
    validation: dict[str, float] | None
    frames_per_s: float


@dataclass(frozen=True)
class GraphFailed:
    """The failure to record the steps of a stage as a CUDA graph. Python computes them instead.

    Attributes:
        stage: Name of the stage.
        reason: First line of the error.
    """

    stage: str
    reason: str

    def __str__(self) -> str:
        return f"{self.stage}, slower without a CUDA graph, which failed ({self.reason})"


@dataclass
class TrainState:
    """Progress of a fold's training.

    Attributes:
        stage: Index of the current stage.
        epoch: Index of the current epoch within the stage.
        step: Index of the next step of the epoch.
        best: Highest validation F1 so far; -1 before the first.
        best_epoch: Epoch of this stage with the best weights, counted over all stages from 1; 0 before the first.
        frames: Number of training frames so far.
        seconds: Training time.
        wall: Training and validation time.
        epochs: One entry per finished epoch, as in ``epochs.jsonl``.
        sums: Loss terms summed over the steps of the current epoch.
        epoch_seconds: Time spent in the current epoch.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    best: float = -1.0
    best_epoch: int = 0
    frames: int = 0
    seconds: float = 0.0
    wall: float = 0.0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    epoch_seconds: float = 0.0

    def begin_stage(self, index: int) -> None:
        """Start a stage."""
        self.stage, self.epoch, self.step, self.best, self.best_epoch = index, 0, 0, -1.0, 0

    def end_epoch(self, entry: Mapping[str, Any]) -> None:
        """Append a finished epoch and start the next."""
        self.epochs.append(dict(entry))
        self.epoch, self.step, self.sums, self.epoch_seconds = self.epoch + 1, 0, {}, 0.0

    def since_best(self) -> int:
        """Return the number of finished epochs since the best one."""
        return len(self.epochs) - self.best_epoch

    def write(self, path: Path) -> None:
        """Write the finished epochs as JSON, one line each, in process 0."""
        if ranks.is_first():
            atomic.write_text(path, "".join(json.dumps(entry) + "\n" for entry in self.epochs))
