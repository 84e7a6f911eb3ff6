"""The training loop: stages, epochs, validation, early stopping and checkpoints.

Every source of randomness is seeded at every step from named parts, so a training that resumes from a checkpoint
computes exactly what an uninterrupted one computes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from aubench._util import interrupts, ranks
from aubench._util.seeds import seed_everything
from aubench.core.errors import Diverged, ImagesLeaveNoMemory, is_out_of_memory
from aubench.core.method import Progress, Stage
from aubench.data import clips, loader, resident_images
from aubench.data.splits import ProtocolDataset, Rows
from aubench.evaluation import inference
from aubench.evaluation.predictor import Predictor
from aubench.metrics import scores as metrics
from aubench.results.run_folder import CANDIDATE_WEIGHTS, EPOCHS, STATE, WEIGHTS, remove_unfinished_files
from aubench.training import checkpoint
from aubench.training.state import EpochFinished, TrainState
from aubench.training.train_phase import TrainContext, TrainPhase
from aubench.training.training_step import TrainingStep

if TYPE_CHECKING:
    from torch import Tensor

SAVE_EVERY = 120.0
"""Seconds of an epoch after which its middle is worth a checkpoint."""


class Trainer:
    """Training loop over the stages of a phase, which resumes from the saved state.

    The processes of a group take the same steps, and process 0 writes the files.

    Args:
        context: Fold, data, method and device.
        phase: Stages and frames.
        state: Initial state, used if no state was saved.
    """

    def __init__(self, context: TrainContext, phase: TrainPhase, state: TrainState) -> None:
        self.context, self.phase, self.state = context, phase, state
        self.data, self.fabric, self.method, self.folder = context.data, context.fabric, context.method, phase.folder
        self._saved_at = time.monotonic()
        self._step: TrainingStep | None = None
        self._recent: list[dict[str, Tensor]] = []

    def run(self) -> None:
        """Run all stages. The chosen weights end in ``checkpoint.safetensors`` and in the method.

        Each stage starts from the chosen weights of the previous one. The method's optimizer hooks may change it, e.g.
        freeze or reset layers, so those of finished stages run again and the weights are restored after them.
        """
        saved = self._restore()
        ranks.meet()
        for index, stage in enumerate(self.phase.stages):
            optimizer: Any = self.fabric.setup_optimizers(self.context.create_optimizer(stage))
            if index < self.state.stage:
                continue
            if saved is not None:
                self._restore_weights(saved, optimizer)
                saved = None
            elif index:
                self.state.begin_stage(index)
            holds_images = self._images is not self.data
            self._step = TrainingStep(self.context, stage, optimizer, holds_images=holds_images)
            while self.state.epoch < stage.epochs and not self._should_stop_early(stage):
                with interrupts.deferred():
                    self._epoch(stage, optimizer)
            self._step.close()
            ranks.meet()
            self.method.load_state_dict(checkpoint.read(self.folder / WEIGHTS, self.phase.identity).tensors)
        vars(self).pop("_images", None)  # frees the memory of the GPU

    def _restore(self) -> checkpoint.Checkpoint | None:
        if ranks.is_first():
            remove_unfinished_files(self.folder)
        path = self.folder / STATE
        if not path.exists():
            return None
        saved = checkpoint.read(path, self.phase.identity)
        with checkpoint.restoring(path):
            self.state = TrainState(**saved.notes["history"])
        self._promote_candidate_of_state()
        self.state.write(self.folder / EPOCHS)  # a process killed after it saved the state has not written it
        return saved

    def _restore_weights(self, saved: checkpoint.Checkpoint, optimizer: Any) -> None:
        with checkpoint.restoring(self.folder / STATE):
            self.method.load_state_dict({k[7:]: v for k, v in saved.tensors.items() if k.startswith("method.")})
            checkpoint.restore_optimizer(optimizer.optimizer, saved.tensors, saved.notes["optimizer"])

    def _promote_candidate_of_state(self) -> None:
        """Replace the best weights by a candidate that a process killed after it saved the state has left."""
        candidate = self.folder / CANDIDATE_WEIGHTS
        if not ranks.is_first() or not candidate.exists():  # the file disappears while the other processes begin
            return
        if checkpoint.read(candidate, self.phase.identity).notes["epoch"] == self.state.best_epoch:
            self._promote_candidate()

    def _promote_candidate(self) -> None:
        """Replace the best weights by the candidate, once the state that names it is saved."""
        if ranks.is_first():
            (self.folder / CANDIDATE_WEIGHTS).replace(self.folder / WEIGHTS)

    def _should_stop_early(self, stage: Stage) -> bool:
        return bool(len(self.phase.val)) and self.state.best_epoch > 0 and self.state.since_best() >= stage.patience

    def _epoch(self, stage: Stage, optimizer: Any) -> None:
        state = self.state
        seed_everything(self.context.derive_seed(stage, "epoch", state.epoch))
        order, is_extra = self._order(stage)
        steps = len(loader.split_batches(order, stage.batch_size, drop_last=True))
        todo = loader.split_batches(order, stage.batch_size, start=state.step, drop_last=True)
        sums: dict[str, Tensor] = {k: torch.tensor(v, device=self.fabric.device) for k, v in state.sums.items()}
        begin, spent = time.perf_counter(), state.epoch_seconds
        self._recent.clear()
        self.method.train()
        task = self.method.task
        for stored in loader.iter_batches(
            self._images, task.modalities, todo, landmarks=task.landmarks > 0, device=self.fabric.device
        ):
            first = state.step * stage.batch_size
            extra = None if is_extra is None else is_extra[first : first + len(stored.rows)]
            progress = Progress(state.epoch, stage.epochs, state.step, steps)
            terms = self._take_step(stored, extra, progress)
            self._recent.append({name: value.detach().float() for name, value in terms.items()})
            for name, value in self._recent[-1].items():
                sums[name] = sums.get(name, 0.0) + value
            state.step += 1
            state.frames += stored.rows.size
            if interrupts.is_requested() or time.monotonic() - self._saved_at > SAVE_EVERY:
                state.sums = {k: v.item() for k, v in sums.items()}
                state.epoch_seconds = spent + time.perf_counter() - begin
                self._require_finite(state.sums)
                self._save(optimizer)
                interrupts.end_if_requested()
        losses = {name: (total / max(steps, 1)).item() for name, total in sums.items()}
        seconds = spent + time.perf_counter() - begin
        frames = order[: steps * stage.batch_size].size
        self._finish_epoch(stage, optimizer, losses, seconds, frames)

    def _take_step(self, stored: loader.RawBatch, is_extra: Tensor | None, progress: Progress) -> dict[str, Tensor]:
        assert self._step
        return self._step.take(stored, is_extra, progress)

    def _order(self, stage: Stage) -> tuple[Rows, Tensor | None]:
        """Return the rows of the next epoch, frames (N,) or clips (N, T), and which clips are extra ones."""
        seed, length = self.context.derive_seed(stage, "data", self.state.epoch), self.method.recipe.clip_length
        if length is None:
            return loader.shuffled_epoch(self.phase.train, stage.frames_per_epoch, seed), None

        def spans(labels: npt.NDArray[np.int8]) -> Sequence[tuple[int, int]]:
            return () if stage.pretraining else self.method.extra_clip_spans(torch.from_numpy(labels))

        rows, extra = clips.sample_clips(self.data, self.phase.train, length, stage.frames_per_epoch, seed, spans)
        return rows, torch.from_numpy(extra)

    def _finish_epoch(
        self, stage: Stage, optimizer: Any, losses: dict[str, float], seconds: float, frames: int
    ) -> None:
        state = self.state
        self._require_finite(losses)
        begin = time.perf_counter()
        scores = self._validate()
        state.seconds += seconds
        state.wall += seconds + time.perf_counter() - begin
        better = self._is_improvement(stage, scores)
        if better:
            state.best, state.best_epoch = -1.0 if scores is None else scores["f1"], len(state.epochs) + 1
            notes = {"epoch": state.best_epoch}
            checkpoint.write(self.folder / CANDIDATE_WEIGHTS, self.phase.identity, self.method.state_dict(), notes)
        speed = round(frames / max(seconds, 1e-9), 1)
        entry = {
            "stage": stage.name,
            "epoch": state.epoch,
            "seconds": round(seconds, 3),
            "frames": frames,
            "frames_per_s": speed,
            "loss": losses,
            "validation": scores,
            "eligible": self._is_selectable(stage),
        }
        state.end_epoch(entry)
        self._save(optimizer)
        if better:
            self._promote_candidate()
        state.write(self.folder / EPOCHS)
        self.context.report(EpochFinished(stage.name, state.epoch, stage.epochs, losses, scores, speed))

    def _require_finite(self, losses: Mapping[str, float]) -> None:
        """Check the loss terms of the steps since the last check, and the weights, before they are saved.

        Raises:
            Diverged: A value is not finite. The message names the first such step and the last good checkpoint.
        """
        defect = _first_defect(losses, self._recent, self.method.parameters())
        if defect is None:
            self._recent.clear()
            return
        state, (what, steps) = self.state, defect
        saved = [path for name in (WEIGHTS, STATE) if (path := self.folder / name).exists()]
        checkpoint_hint = f"the last good checkpoint is {saved[0]}" if saved else "no earlier epoch has a checkpoint"
        raise Diverged(
            f"{what} is not finite in epoch {state.epoch + 1} of fold {self.context.fold}, step {state.step - steps} "
            f"of stage '{self.phase.stages[state.stage].name}'",
            where=self.context.name,
            hint=f"lower the learning rate (--set); {checkpoint_hint}",
        )

    def _is_improvement(self, stage: Stage, scores: dict[str, float] | None) -> bool:
        """Return whether the epoch is the best so far; without validation, whether it is the last."""
        if scores is None:
            return self.state.epoch + 1 == stage.epochs
        return self._is_selectable(stage) and scores["f1"] > self.state.best

    def _is_selectable(self, stage: Stage) -> bool:
        return self.state.epoch + 1 >= min(stage.first_selectable_epoch, stage.epochs)

    def _validate(self) -> dict[str, float] | None:
        rows = self.phase.val
        if not len(rows):
            return None
        predictor = Predictor(self.method, self.fabric.autocast)
        try:
            probs = inference.predict_probabilities(predictor, self._images, rows, self.fabric.device)
        except RuntimeError as error:
            if self._images is self.data or ranks.count() > 1 or not is_out_of_memory(error):
                raise
            raise ImagesLeaveNoMemory(str(error), where=self.context.name) from error
        cells = inference.confusion_counts(probs, self.data.labels[rows])
        return {"f1": metrics.mean(metrics.f1(cells).tolist()), "acc": metrics.mean(metrics.accuracy(cells).tolist())}

    def _save(self, optimizer: Any) -> None:
        tensors, notes = checkpoint.flatten_optimizer(optimizer.optimizer)
        tensors |= {f"method.{name}": value for name, value in self.method.state_dict().items()}
        checkpoint.write(
            self.folder / STATE,
            self.phase.identity,
            tensors,
            {"history": asdict(self.state), "optimizer": notes},
        )
        self._saved_at = time.monotonic()

    @cached_property
    def _images(self) -> ProtocolDataset:
        """Data set whose training and validation images are in the memory of the GPU, if they may and fit."""
        if not self.context.may_hold_images:
            return self.data
        rows = np.concatenate([self.phase.train, self.phase.val])
        return resident_images.prepare(self.data, self.method.task, rows, self.fabric.device)


def _first_defect(
    losses: Mapping[str, float], recent: Sequence[Mapping[str, Tensor]], weights: Iterable[Tensor]
) -> tuple[str, int] | None:
    """Find a loss term or a weight that is not finite.

    Args:
        losses: Sums or means of loss terms, read from the device.
        recent: Loss terms of the last steps, which the sums contain.
        weights: Weights after the last step.

    Returns:
        Its description and the number of steps since it appeared, or None if all values are finite.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            finite = (name not in terms or bool(terms[name].isfinite()) for terms in recent)
            first = next((i for i, is_finite in enumerate(finite) if not is_finite), len(recent) - 1)
            return f"loss term '{name}'", len(recent) - 1 - first
    return None if torch.stack([weight.isfinite().all() for weight in weights]).all() else ("a weight", 0)
