"""Batch size that fits into the memory, measured after a training step has run out of it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from aubench.core.errors import OutOfMemory
from aubench.core.method import Stage
from aubench.core.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor


def largest_batch(size: int, step: Callable[[int], object], parameters: Sequence[Tensor]) -> int | None:
    """Halve a batch size until a training step fits.

    The steps change weights and the state of the optimiser, so the training must end afterwards.

    Args:
        size: Batch size that does not fit.
        step: Function that takes a training step on a number of frames or clips.
        parameters: Weights, whose gradients are freed before each step.

    Returns:
        None if no step fits, or if the method refuses a smaller batch.
    """
    while size > 1:
        size //= 2
        for parameter in parameters:
            parameter.grad = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            step(size)
        except Exception:  # also of methods that refuse a batch of one frame
            continue
        return size
    return None


def out_of_memory(stage: Stage, recipe: Recipe, fitting: int | None, *, where: str, device: str) -> OutOfMemory:
    """Create the error of a training step that ran out of memory.

    Args:
        stage: Stage of the step.
        recipe: Recipe of the method.
        fitting: Measured batch size that fits; None if there is none.
        where: Method and fold.
        device: Kind of device.
    """
    on_cpu = device == "cpu"
    what = f"a batch of {stage.batch_size} in stage '{stage.name}' needs more memory than "
    what += "this process may use" if on_cpu else "the GPU has"
    field = _batch_field(recipe, stage)
    hints = ["no smaller batch fits either"]
    if fitting is not None:
        setting = f"a batch of {fitting}" if field is None else f"--set {field}={fitting}"
        hints = [f"{setting} fits, as a trial step showed, and is another recipe with another run id"]
    hints.append(f"fewer folds at a time ({'--fold' if on_cpu else '--runs-per-device'}) keep the run")
    if savers := {"activation_checkpointing", "gradient_accumulation"} & set(type(recipe).model_fields):
        hints.append(f"{' and '.join(sorted(savers))} (--set) keep the loss of the whole batch, also as another run")
    return OutOfMemory(what, where=where, hint="; ".join(hints))


def _batch_field(recipe: Recipe, stage: Stage) -> str | None:
    """Return the field of the recipe that determines the batch size of a stage; None if it is unknown."""
    fields = [name for name in type(recipe).model_fields if name.endswith("batch_size")]
    equal = [name for name in fields if getattr(recipe, name) == stage.batch_size]
    return next((name for name in equal if name.startswith("pretrain") == stage.pretraining), None)
