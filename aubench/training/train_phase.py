"""Parts of a fold's training: what all phases share, and the stages and frames of one phase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch.optim import Optimizer

from aubench._util.seeds import derive, seed_everything
from aubench.core import method_hooks
from aubench.core.method import Method, Stage
from aubench.data.splits import ProtocolDataset, Rows
from aubench.training.checkpoint import CheckpointIdentity
from aubench.training.state import EpochFinished, GraphFailed

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class TrainContext:
    """Everything that the training phases of a fold share.

    Attributes:
        name: Name of the method.
        seed: Seed of the run.
        protocol_seed: Seed of the protocol.
        fold: Number of the fold.
        data: Frames of the store.
        fabric: Device and precision.
        method: Method on its device.
        report: Callback for each finished epoch, and for a failed CUDA graph.
        may_hold_images: Whether the images may stay in the memory of a GPU if they fit.
    """

    name: str
    seed: int
    protocol_seed: str
    fold: int
    data: ProtocolDataset
    fabric: Fabric
    method: Method
    report: Callable[[EpochFinished | GraphFailed], None]
    may_hold_images: bool = True

    def derive_seed(self, stage: Stage, name: str, *when: int) -> int:
        """Derive the seed of a source of randomness at an epoch, or at a step of one."""
        return derive(self.seed, self.protocol_seed, self.fold, stage.name, name, *when)

    def create_optimizer(self, stage: Stage) -> Optimizer:
        """Call the method's hook for the optimiser of a stage, which may also change the method, e.g. freeze layers."""
        seed_everything(self.derive_seed(stage, "optimizer"))
        optimizer: Optimizer = method_hooks.call(self.method, "optimizer", Optimizer, stage)
        return optimizer


@dataclass(frozen=True)
class TrainPhase:
    """Consecutive stages with state and weights in one folder.

    Attributes:
        stages: Stages in order.
        train: Rows of the training frames.
        val: Rows of the validation frames, which choose the epoch; empty if the last epoch is chosen.
        folder: Folder of the checkpoints.
        identity: Identity that the checkpoints carry.
    """

    stages: tuple[Stage, ...]
    train: Rows
    val: Rows
    folder: Path
    identity: CheckpointIdentity
