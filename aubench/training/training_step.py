"""A training step: crops, augmentation, loss, gradients and optimiser."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, SupportsFloat

import torch

from aubench._util import ranks
from aubench._util.seeds import seed_everything
from aubench.core import method_hooks
from aubench.core.errors import ImagesLeaveNoMemory, is_out_of_memory
from aubench.core.losses import require_terms
from aubench.core.method import Progress, Stage
from aubench.core.task import Batch
from aubench.data import loader, transforms
from aubench.training import batch_memory
from aubench.training.split_modules import SplitModules, average_gradients
from aubench.training.state import GraphFailed
from aubench.training.step_graph import CUDAGraph, StepGraph
from aubench.training.train_phase import TrainContext

if TYPE_CHECKING:
    from torch import Tensor


class TrainingStep:
    """Step of a stage, of which each draws random numbers from a seed of its own.

    Args:
        context: Fold, method and device.
        stage: Stage.
        optimizer: Optimiser of the stage, as set up by Fabric.
        holds_images: Whether images are held in the memory of the device.

    Attributes:
        graph: Repeated operations of loss and backward pass; None if the device has none or several share the step.
    """

    def __init__(self, context: TrainContext, stage: Stage, optimizer: Any, *, holds_images: bool = False) -> None:
        self.context, self.stage, self.optimizer, self._holds_images = context, stage, optimizer, holds_images
        self.method, self.fabric = context.method, context.fabric
        self._split = SplitModules(self.method) if ranks.count() > 1 else None
        self._parameters = list(self.method.parameters())  # of later stages too; listing them in each step takes long
        self.graph = self._create_graph()
        self._free_gradients()

    def close(self) -> None:
        """Free the memory of the graph."""
        if self.graph:
            self.graph.close()

    def take(self, stored: loader.RawBatch, is_extra: Tensor | None, progress: Progress) -> dict[str, Tensor]:
        """Take a step and return the terms of the loss.

        Args:
            stored: Batch as stored.
            is_extra: Marks of extra clips, (N,).
            progress: Epoch and step.

        Raises:
            OutOfMemory: The memory does not suffice. The message names a batch size that fits.
            ImagesLeaveNoMemory: It might suffice without the images that are held there.
        """
        try:
            return self._step(stored, is_extra, progress)
        except (RuntimeError, MemoryError) as error:
            if self._split or not is_out_of_memory(error):
                raise
            if self._holds_images:
                raise ImagesLeaveNoMemory(str(error), where=self.context.name) from error

        def attempt(size: int) -> None:
            images = {modality: image[:size] for modality, image in stored.images.items()}
            points = None if stored.landmarks is None else stored.landmarks[:size]
            batch = loader.RawBatch(stored.rows[:size], images, stored.labels[:size], points)
            self._step(batch, None if is_extra is None else is_extra[:size], progress)

        fitting = batch_memory.largest_batch(len(stored.rows), attempt, self._parameters)
        raise batch_memory.out_of_memory(
            self.stage,
            self.method.recipe,
            fitting,
            where=f"{self.context.name}, fold {self.context.fold}",
            device=self.fabric.device.type,
        )

    def _step(self, stored: loader.RawBatch, is_extra: Tensor | None, progress: Progress) -> dict[str, Tensor]:
        stage, recipe, device = self.stage, self.method.recipe, self.fabric.device
        generator = torch.Generator().manual_seed(
            self.context.derive_seed(stage, "augmentation", progress.epoch, progress.step)
        )
        seed_everything(self.context.derive_seed(stage, "noise", progress.epoch, progress.step))
        windows = transforms.random_crops(
            len(stored.rows), recipe.image_size, recipe.crop, flip=recipe.flip, generator=generator
        )
        windows = windows.to(device)
        views = transforms.random_crop_views(stored.images, windows)
        labels = torch.full_like(stored.labels, -1) if stage.pretraining else stored.labels
        points = stored.landmarks
        if points is not None:
            points = transforms.landmarks_in_views(points, windows)
        batch: Batch = method_hooks.call(
            self.method, "augment", Batch, Batch(views, labels, points, is_extra), generator
        )
        factor = method_hooks.call(self.method, "learning_rate_factor", SupportsFloat, stage, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
        if self.graph:
            terms = self.graph.step(batch, progress, self.method.loss_constants(stage, progress))
        else:
            terms = self.compute_gradients(batch, progress)
        if self._split:
            average_gradients(self._parameters)
        self.optimizer.step()
        self._free_gradients()
        return terms

    def _free_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def compute_gradients(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Add the gradients of the loss to the parameters, and return its terms."""
        with self.fabric.autocast(), self._split.active() if self._split else nullcontext():
            terms = require_terms(self.method.loss(batch, self.stage, progress), self.method)
        self.fabric.backward(terms["total"])
        return {name: value.detach() for name, value in terms.items()}  # a CUDA graph may not depend on earlier steps

    def _create_graph(self) -> StepGraph | None:
        if self.fabric.device.type != "cuda" or ranks.count() > 1:
            return None
        return StepGraph(
            self.compute_gradients,
            self._parameters,
            partial(CUDAGraph, self.fabric.device),
            lambda reason: self.context.report(GraphFailed(self.stage.name, reason)),
        )
