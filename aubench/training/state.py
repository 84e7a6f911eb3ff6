"""What a training has done so far: the part of its state that is not tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aubench._util import atomic


@dataclass
class TrainState:
    """Where a fold's training stands.

    Attributes:
        stage: Index of the stage it is in.
        epoch: Epoch of the stage, from 0, that is under way.
        step: Step of the epoch that comes next.
        best: Highest validation F1 so far; -1 before the first.
        best_epoch: The epoch of this stage whose weights are kept, counted over all stages from 1; 0 before it.
        frames: Frames trained on.
        seconds: Time spent on them.
        wall: Time spent in all, validation included.
        epochs: One entry per finished epoch, as in ``epochs.jsonl``.
        sums: Loss terms summed over the steps of the epoch under way.
        epoch_seconds: Time the epoch under way has taken.
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

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def begin_stage(self, index: int) -> None:
        """Enter a stage."""
        self.stage, self.epoch, self.step, self.best, self.best_epoch = index, 0, 0, -1.0, 0

    def end_epoch(self, entry: Mapping[str, Any]) -> None:
        """Note a finished epoch and turn to the next."""
        self.epochs.append(dict(entry))
        self.epoch, self.step, self.sums, self.epoch_seconds = self.epoch + 1, 0, {}, 0.0

    def since_best(self) -> int:
        """Finished epochs since the best one."""
        return len(self.epochs) - self.best_epoch

    def write(self, path: Path) -> None:
        """Write the finished epochs as JSON, one line each."""
        atomic.write_text(path, "".join(json.dumps(entry) + "\n" for entry in self.epochs))
