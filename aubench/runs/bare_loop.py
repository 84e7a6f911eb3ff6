"""A training loop written by hand, on frames that are all in the memory of the device, for comparison."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aubench.core.losses import masked_bce_with_logits
from aubench.core.method import BranchedMethod, Progress, Stage
from aubench.core.task import Batch, Modality
from aubench.data import loader
from aubench.data.splits import Rows
from aubench.runs.measured_trainer import synchronize
from aubench.training.train_phase import TrainContext

Loss = Callable[[Batch], Tensor]


class BareLoop:
    """Random crops and flips, loss, backward pass and optimiser, without reading, seeds, checks and logs.

    Args:
        context: Method of single frames on its device, data and precision. The images have the recipe's size.
        stage: Stage whose batches, optimiser and loss the loop uses.
        rows: Row numbers of the frames.
        networks_only: Train the encoders with one linear layer on their features, without the method's own loss.
    """

    def __init__(self, context: TrainContext, stage: Stage, rows: Rows, *, networks_only: bool = False) -> None:
        self.context, self.stage, self.method = context, stage, context.method
        self.device, recipe = context.fabric.device, context.method.recipe
        self.crop, self.margin, self.batch = recipe.crop, recipe.image_size - recipe.crop + 1, stage.batch_size
        stored = loader.read(context.data, self.method.task.modalities, rows)
        self.images = {m: x.to(self.device) for m, x in stored.images.items()}
        self.labels = stored.labels.to(self.device)
        if networks_only:
            head, self.loss = self._networks()
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
                [*self.method.parameters(), *head.parameters()], recipe.learning_rate, fused=self.device.type == "cuda"
            )
        else:
            self.loss, self.optimizer = self._own_loss, self.method.optimizer(stage)

    def train(self, steps: int) -> float:
        """Take some steps and return the mean loss."""
        self.method.train()
        total = torch.zeros((), device=self.device)
        order = torch.randperm(len(self.labels), device=self.device)
        repeats = -(-steps * self.batch // len(order))
        for frames in order.repeat(repeats)[: steps * self.batch].view(steps, self.batch):
            with self.context.fabric.autocast():
                loss = self.loss(Batch(self.views(frames), self.labels[frames]))
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
        return total.item() / steps

    def frames_per_s(self, steps: int) -> float:
        """Take some steps and return the frames per second."""
        synchronize(self.device)
        begin = time.perf_counter()
        self.train(steps)
        return steps * self.batch / (time.perf_counter() - begin)

    def views(self, frames: Tensor) -> dict[Modality, Tensor]:
        """Take random crops of some frames, half of them mirrored, as floats from -1 to 1."""
        count, device = len(frames), self.device
        along = torch.arange(self.crop, device=device)
        top, left = torch.randint(0, self.margin, (2, count, 1), device=device)
        across = torch.where(torch.rand(count, 1, device=device) < 0.5, along.flip(0), along)
        index = (frames[:, None, None], (top + along)[:, :, None], (left + across)[:, None])
        return {m: x[index].permute(0, 3, 1, 2).float() / 127.5 - 1 for m, x in self.images.items()}

    def _own_loss(self, batch: Batch) -> Tensor:
        batch = self.method.augment(batch, torch.default_generator)
        return self.method.loss(batch, self.stage, Progress(0, 1, 0, 1))["total"]

    def _networks(self) -> tuple[nn.Module, Loss]:
        """Return a linear layer, and the loss of the encoders with it."""
        method = self.method
        assert isinstance(method, BranchedMethod)
        head = nn.LazyLinear(len(method.task.aus), device=self.device)

        def loss(batch: Batch) -> Tensor:
            features = [method.encode(m, x).flatten(1) for m, x in batch.inputs.items()]
            return masked_bce_with_logits(head(torch.cat(features, 1)), batch.labels)

        with torch.no_grad():
            loss(Batch(self.views(torch.arange(2, device=self.device)), self.labels[:2]))
        return head, loss
