"""The training loop of a fold: stages, epochs, steps; validation, early stopping, checkpoints.

Every source of chance is seeded anew at every step from named parts, so a training that goes on from
a checkpoint, wherever it was, computes what one never stopped would have computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from aubench.data import pixels, sampling
from aubench.data.roles import Labelled, Roles, Rows
from aubench.engine import checkpoint, predict
from aubench.engine.history import History
from aubench.engine.plan import Plan
from aubench.engine.sealed import Sealed
from aubench.engine.seeds import derive
from aubench.errors import MethodError
from aubench.method import Progress, Stage
from aubench.scores import metrics
from aubench.task import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor

STATE = "state.safetensors"
WEIGHTS = "checkpoint.safetensors"
EPOCHS = "epochs.jsonl"

SAVE_EVERY = 120.0
"""Seconds of an epoch after which its middle is worth a checkpoint."""


class Training:
    """A fold's training, from its beginning or from where it was stopped.

    Args:
        plan: The run.
        fold: Number of the fold.
        data: The store's labelled frames.
        roles: The fold's roles.
        fabric: Device and precision.
        report: Told of each finished epoch.
    """

    def __init__(
        self,
        plan: Plan,
        fold: int,
        data: Labelled,
        roles: Roles,
        fabric: Fabric,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        self.plan, self.fold, self.data, self.roles, self.fabric, self.report = plan, fold, data, roles, fabric, report
        self.folder = plan.fold_folder(fold)
        self.method = plan.build()
        self.method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.wrapped = fabric.setup_module(self.method)
        self.wrapped.mark_forward_method("loss")
        self.stages = self.method.stages()
        self.history = History()
        self._saved_at = time.monotonic()

    def run(self) -> None:
        """Go through all stages; leaves the chosen weights in ``checkpoint.safetensors``."""
        first = self._restored()
        for index in range(self.history.stage, len(self.stages)):
            stage = self.stages[index]
            optimizer: Any = self.fabric.setup_optimizers(self.method.optimizer(stage))
            if first is not None:
                checkpoint.restore_optimizer(optimizer.optimizer, first.tensors, first.notes["optimizer"])
                first = None
            elif index:
                self.history.begin_stage(index)
            while self.history.epoch < stage.epochs and not self._out_of_patience(stage):
                self._epoch(stage, optimizer)
            self.history.stage = index + 1

    def forget(self) -> None:
        """Remove what only an unfinished fold needs."""
        (self.folder / STATE).unlink(missing_ok=True)

    def _restored(self) -> checkpoint.Checkpoint | None:
        path = self.folder / STATE
        if not path.exists():
            return None
        found = checkpoint.read(path, self.plan.identity(self.fold))
        self.method.load_state_dict({k[7:]: v for k, v in found.tensors.items() if k.startswith("method.")})
        self.history = History(**found.notes["history"])
        return found

    def _out_of_patience(self, stage: Stage) -> bool:
        return (
            bool(len(self._validation_rows()))
            and self.history.best_epoch > 0
            and self.history.since_best() >= stage.patience
        )

    def _epoch(self, stage: Stage, optimizer: Any) -> None:
        history = self.history
        order = sampling.epoch_order(self.roles.train, stage.frames_per_epoch, self._seed(stage, "data", history.epoch))
        steps = len(sampling.in_batches(order, stage.batch_size, whole=True))
        todo = sampling.in_batches(order, stage.batch_size, start=history.step, whole=True)
        sums: dict[str, Tensor] = {k: torch.tensor(v, device=self.fabric.device) for k, v in history.sums.items()}
        begin, spent = time.perf_counter(), history.epoch_seconds
        self.method.train()
        for stored in sampling.stream(self.data, self.method.task.modalities, todo, pin=self._on_gpu):
            terms = self._step(stage, optimizer, stored, Progress(history.epoch, stage.epochs, history.step, steps))
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.detach().float()
            history.step += 1
            history.frames += len(stored.rows)
            if time.monotonic() - self._saved_at > SAVE_EVERY:
                history.sums, history.epoch_seconds = (
                    {k: v.item() for k, v in sums.items()},
                    spent + time.perf_counter() - begin,
                )
                self._save(optimizer)
        losses = {name: (total / max(steps, 1)).item() for name, total in sums.items()}
        seconds = spent + time.perf_counter() - begin
        self._finish_epoch(stage, optimizer, losses, seconds)

    def _step(
        self, stage: Stage, optimizer: Any, stored: sampling.StoredBatch, progress: Progress
    ) -> dict[str, Tensor]:
        recipe, device = self.plan.typed_recipe, self.fabric.device
        generator = torch.Generator().manual_seed(self._seed(stage, "augmentation", progress.epoch, progress.step))
        torch.manual_seed(self._seed(stage, "noise", progress.epoch, progress.step))
        images = {m: x.to(device, non_blocking=True) for m, x in stored.images.items()}
        views = pixels.random_views(images, recipe.image_size, recipe.crop, flip=recipe.flip, generator=generator)
        batch = self.method.augment(Batch(views, stored.labels.to(device, non_blocking=True)), generator)
        factor = self.method.learning_rate_factor(stage, progress)
        for group in optimizer.param_groups:
            group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
        terms: dict[str, Tensor] = self.wrapped.loss(batch, stage, progress)
        self.fabric.backward(terms["total"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return terms

    def _finish_epoch(self, stage: Stage, optimizer: Any, losses: dict[str, float], seconds: float) -> None:
        history = self.history
        if bad := [name for name, value in losses.items() if not math.isfinite(value)]:
            raise MethodError(
                f"loss term '{bad[0]}' is not finite in epoch {history.epoch + 1} of fold {self.fold}",
                where=self.plan.entry.name,
                hint="lower the learning rate",
            )
        begin = time.perf_counter()
        scores = self._validated()
        history.seconds += seconds
        history.wall += seconds + time.perf_counter() - begin
        better = scores is None or scores["f1"] > history.best
        if better:
            history.best, history.best_epoch = -1.0 if scores is None else scores["f1"], len(history.epochs) + 1
            checkpoint.write(
                self.folder / WEIGHTS,
                self.plan.identity(self.fold),
                self.method.state_dict(),
                {"epoch": history.best_epoch},
            )
        entry = {
            "stage": stage.name,
            "epoch": history.epoch,
            "seconds": round(seconds, 3),
            "frames_per_s": round(history.step * stage.batch_size / max(seconds, 1e-9), 1),
            "loss": losses,
            "validation": scores,
        }
        history.end_epoch(entry)
        self._save(optimizer)
        history.write(self.folder / EPOCHS)
        self.report({"kind": "epoch", "fold": self.fold, "of": stage.epochs, **entry})

    def _validated(self) -> dict[str, float] | None:
        rows = self._validation_rows()
        if not len(rows):
            return None
        sealed = Sealed(self.method, self.wrapped)
        found = predict.probabilities(sealed, self.data, rows, self.fabric.device)
        cells = predict.confusion(found, self.data.labels[rows])
        return {"f1": metrics.mean(metrics.f1(cells).tolist()), "acc": metrics.mean(metrics.accuracy(cells).tolist())}

    def _validation_rows(self) -> Rows:
        rule = self.plan.selection
        rows = self.roles.test if rule == "oracle_test" else self.roles.val
        return rows[:: self.plan.typed_recipe.validation_stride]

    def _save(self, optimizer: Any) -> None:
        tensors, notes = checkpoint.flatten_optimizer(optimizer.optimizer)
        tensors |= {f"method.{name}": value for name, value in self.method.state_dict().items()}
        checkpoint.write(
            self.folder / STATE,
            self.plan.identity(self.fold),
            tensors,
            {"history": self.history.plain(), "optimizer": notes},
        )
        self._saved_at = time.monotonic()

    def _seed(self, stage: Stage, name: str, *when: int) -> int:
        return derive(self.plan.seed, self.plan.protocol.digest, self.fold, stage.name, name, *when)

    @property
    def _on_gpu(self) -> bool:
        return self.fabric.device.type == "cuda"
