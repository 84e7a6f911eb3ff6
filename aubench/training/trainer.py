"""The training loop: stages, epochs, steps; validation, early stopping, checkpoints.

Every source of chance is seeded anew at every step from named parts, so a training that goes on from
a checkpoint, wherever it was, computes what one never stopped would have computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from aubench._util.seeds import derive
from aubench.core.errors import Diverged
from aubench.core.method import Method, Progress, Stage
from aubench.core.task import Batch
from aubench.data import clips, loader, transforms
from aubench.data.splits import Labelled, Rows
from aubench.evaluation import inference
from aubench.evaluation.predictor import Sealed
from aubench.metrics import scores as metrics
from aubench.runs.config import Plan
from aubench.training import checkpoint
from aubench.training.checkpoint import Identity
from aubench.training.state import History

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor

STATE = "state.safetensors"
WEIGHTS = "checkpoint.safetensors"
BETTER = "better.safetensors"
"""Weights that are better than those, until the state that says so is saved."""
EPOCHS = "epochs.jsonl"

SAVE_EVERY = 120.0
"""Seconds of an epoch after which its middle is worth a checkpoint."""


@dataclass(frozen=True)
class Place:
    """Where a fold is trained: what its parts share.

    Attributes:
        plan: The run.
        fold: Number of the fold.
        data: The store's frames.
        fabric: Device and precision.
        method: The method, on its device.
        report: Told of each finished epoch.
    """

    plan: Plan
    fold: int
    data: Labelled
    fabric: Fabric
    method: Method
    report: Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Part:
    """Consecutive stages whose state and result lie in one folder.

    Attributes:
        stages: What is done.
        train: Frames to learn from.
        val: Frames that choose the epoch; none where the last one stays.
        folder: Where checkpoints go.
        identity: What these are bound to.
    """

    stages: tuple[Stage, ...]
    train: Rows
    val: Rows
    folder: Path
    identity: Identity


class Training:
    """The training of a part, from its beginning or from where it was stopped.

    Args:
        place: Fold, method and device.
        part: Stages and frames.
        history: What went before.
    """

    def __init__(self, place: Place, part: Part, history: History) -> None:
        self.plan, self.data, self.fabric, self.method = place.plan, place.data, place.fabric, place.method
        self.place, self.part, self.folder = place, part, part.folder
        self.history = history
        self._saved_at = time.monotonic()

    def run(self) -> None:
        """Go through all stages; leaves the chosen weights in ``checkpoint.safetensors`` and in the method.

        Each stage begins with the weights that the one before it chose.
        """
        first = self._restored()
        for index in range(self.history.stage, len(self.part.stages)):
            stage = self.part.stages[index]
            optimizer: Any = self.fabric.setup_optimizers(self.method.optimizer(stage))
            if first is not None:
                checkpoint.restore_optimizer(optimizer.optimizer, first.tensors, first.notes["optimizer"])
                first = None
            elif index:
                self.history.begin_stage(index)
            while self.history.epoch < stage.epochs and not self._out_of_patience(stage):
                self._epoch(stage, optimizer)
            self.method.load_state_dict(checkpoint.read(self.folder / WEIGHTS, self.part.identity).tensors)

    def forget(self) -> None:
        """Remove what only an unfinished part needs."""
        for name in (STATE, BETTER):
            (self.folder / name).unlink(missing_ok=True)

    def _restored(self) -> checkpoint.Checkpoint | None:
        path = self.folder / STATE
        if not path.exists():
            return None
        found = checkpoint.read(path, self.part.identity)
        self.method.load_state_dict({k[7:]: v for k, v in found.tensors.items() if k.startswith("method.")})
        self.history = History(**found.notes["history"])
        better = self.folder / BETTER
        if better.exists() and checkpoint.read(better, self.part.identity).notes["epoch"] == self.history.best_epoch:
            self._keep_better()
        return found

    def _keep_better(self) -> None:
        """Put the weights that the saved state speaks of in the place of those before them."""
        (self.folder / BETTER).replace(self.folder / WEIGHTS)

    def _out_of_patience(self, stage: Stage) -> bool:
        return bool(len(self.part.val)) and self.history.best_epoch > 0 and self.history.since_best() >= stage.patience

    def _epoch(self, stage: Stage, optimizer: Any) -> None:
        history = self.history
        order = self._order(stage)
        steps = len(loader.in_batches(order, stage.batch_size, whole=True))
        todo = loader.in_batches(order, stage.batch_size, start=history.step, whole=True)
        sums: dict[str, Tensor] = {k: torch.tensor(v, device=self.fabric.device) for k, v in history.sums.items()}
        begin, spent = time.perf_counter(), history.epoch_seconds
        self.method.train()
        task = self.method.task
        for stored in loader.stream(self.data, task.modalities, todo, landmarks=task.landmarks > 0, pin=self._on_gpu):
            terms = self._step(stage, optimizer, stored, Progress(history.epoch, stage.epochs, history.step, steps))
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.detach().float()
            history.step += 1
            history.frames += stored.rows.size
            if time.monotonic() - self._saved_at > SAVE_EVERY:
                history.sums, history.epoch_seconds = (
                    {k: v.item() for k, v in sums.items()},
                    spent + time.perf_counter() - begin,
                )
                self._save(optimizer)
        losses = {name: (total / max(steps, 1)).item() for name, total in sums.items()}
        seconds = spent + time.perf_counter() - begin
        self._finish_epoch(stage, optimizer, losses, seconds)

    def _order(self, stage: Stage) -> Rows:
        """The frames, or clips, of the epoch that comes."""
        seed, length = self._seed(stage, "data", self.history.epoch), self.plan.typed_recipe.clip_length
        if length is None:
            return loader.epoch_order(self.part.train, stage.frames_per_epoch, seed)

        def spans(labels: npt.NDArray[np.int8]) -> Sequence[tuple[int, int]]:
            return () if stage.pretraining else self.method.spans(torch.from_numpy(labels))

        return clips.drawn(self.data, self.part.train, length, stage.frames_per_epoch, seed, spans)

    def _step(self, stage: Stage, optimizer: Any, stored: loader.StoredBatch, progress: Progress) -> dict[str, Tensor]:
        recipe, device = self.plan.typed_recipe, self.fabric.device
        generator = torch.Generator().manual_seed(self._seed(stage, "augmentation", progress.epoch, progress.step))
        torch.manual_seed(self._seed(stage, "noise", progress.epoch, progress.step))
        windows = transforms.random_windows(
            len(stored.rows), recipe.image_size, recipe.crop, flip=recipe.flip, generator=generator
        )
        views = transforms.views({m: x.to(device, non_blocking=True) for m, x in stored.images.items()}, windows)
        labels = torch.full_like(stored.labels, -1) if stage.pretraining else stored.labels
        points = stored.landmarks
        if points is not None:
            points = transforms.points_in_views(points.to(device, non_blocking=True), windows)
        batch = self.method.augment(Batch(views, labels.to(device, non_blocking=True), points), generator)
        factor = self.method.learning_rate_factor(stage, progress)
        for group in optimizer.param_groups:
            group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
        with self.fabric.autocast():
            terms = self.method.loss(batch, stage, progress)
        self.fabric.backward(terms["total"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return terms

    def _finish_epoch(self, stage: Stage, optimizer: Any, losses: dict[str, float], seconds: float) -> None:
        history, recipe = self.history, self.plan.typed_recipe
        if bad := [name for name, value in losses.items() if not math.isfinite(value)]:
            raise Diverged(
                f"loss term '{bad[0]}' is not finite in epoch {history.epoch + 1} of fold {self.place.fold}",
                where=self.plan.entry.name,
                hint="lower the learning rate",
            )
        begin = time.perf_counter()
        scores = self._validated()
        history.seconds += seconds
        history.wall += seconds + time.perf_counter() - begin
        better = self._better(stage, scores)
        if better:
            history.best, history.best_epoch = -1.0 if scores is None else scores["f1"], len(history.epochs) + 1
            notes = {"epoch": history.best_epoch}
            checkpoint.write(self.folder / BETTER, self.part.identity, self.method.state_dict(), notes)
        frames = history.step * stage.batch_size * (recipe.clip_length or 1)
        entry = {
            "stage": stage.name,
            "epoch": history.epoch,
            "seconds": round(seconds, 3),
            "frames": frames,
            "frames_per_s": round(frames / max(seconds, 1e-9), 1),
            "loss": losses,
            "validation": scores,
            "eligible": self._eligible(stage),
        }
        history.end_epoch(entry)
        self._save(optimizer)
        if better:
            self._keep_better()
        history.write(self.folder / EPOCHS)
        self.place.report({"kind": "epoch", "fold": self.place.fold, "of": stage.epochs, **entry})

    def _better(self, stage: Stage, scores: dict[str, float] | None) -> bool:
        """Whether the epoch that ends is the best so far; the last one, where nothing is validated."""
        if scores is None:
            return self.history.epoch + 1 == stage.epochs
        return self._eligible(stage) and scores["f1"] > self.history.best

    def _eligible(self, stage: Stage) -> bool:
        return self.history.epoch + 1 >= min(stage.eligible, stage.epochs)

    def _validated(self) -> dict[str, float] | None:
        rows = self.part.val
        if not len(rows):
            return None
        sealed = Sealed(self.method, self.fabric.autocast)
        found = inference.probabilities(sealed, self.data, rows, self.fabric.device)
        cells = inference.confusion(found, self.data.labels[rows])
        return {"f1": metrics.mean(metrics.f1(cells).tolist()), "acc": metrics.mean(metrics.accuracy(cells).tolist())}

    def _save(self, optimizer: Any) -> None:
        tensors, notes = checkpoint.flatten_optimizer(optimizer.optimizer)
        tensors |= {f"method.{name}": value for name, value in self.method.state_dict().items()}
        checkpoint.write(
            self.folder / STATE,
            self.part.identity,
            tensors,
            {"history": self.history.plain(), "optimizer": notes},
        )
        self._saved_at = time.monotonic()

    def _seed(self, stage: Stage, name: str, *when: int) -> int:
        return derive(self.plan.seed, self.plan.protocol.seed, self.place.fold, stage.name, name, *when)

    @property
    def _on_gpu(self) -> bool:
        return self.fabric.device.type == "cuda"
