"""Training of a method for a few steps of each stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import SupportsFloat

import torch
from torch.optim import Optimizer

from aubench._util.seeds import seed_everything
from aubench.core import method_hooks
from aubench.core.losses import require_terms
from aubench.core.method import Method, Progress, Stage
from aubench.core.task import Batch
from aubench.testing.cases import Case

STEPS = 3
"""Training steps in which every parameter must receive a gradient. Zero initial values may block it in the first."""


def train_few_steps(
    case: Case, method: Method, after_backward: Callable[[], None] = lambda: None, *, pretraining: bool = False
) -> Method:
    """Train a method for :data:`STEPS` steps of each stage.

    Args:
        case: Source of the batch.
        method: Method, which is trained in place and returned.
        after_backward: Function that is called between each backward pass and the step of the optimiser.
        pretraining: Whether to train in the stages of pre-training only.

    Raises:
        MethodError: A hook returns something else than it must.
    """
    method.train()
    for stage, batch in stage_batches(case, method):
        if pretraining and not stage.pretraining:
            break
        optimizer = _optimizer(method, stage)
        for step in range(STEPS):
            _take_step(method, optimizer, stage, batch, step, after_backward)
    return method


def train_with_interruptions(case: Case, seed: int) -> Method:
    """Train as :func:`train_few_steps` does, and resume after every step, as a run does that was interrupted.

    Args:
        case: Source of the method and the batch.
        seed: Seed of the initial weights.
    """
    method = case.build(seed).train()
    for index, (stage, batch) in enumerate(list(stage_batches(case, method))):
        optimizer = _optimizer(method, stage)
        for step in range(STEPS):
            _take_step(method, optimizer, stage, batch, step)
            method, optimizer = _resume(case, seed, index, method, optimizer)
    return method


def _resume(case: Case, seed: int, index: int, method: Method, optimizer: Optimizer) -> tuple[Method, Optimizer]:
    """Build a method with its optimiser again, in the same stage and with the state of both.

    As in a run that resumes, the hooks of earlier stages are called again.
    """
    resumed = case.build(seed).train()
    stages = resumed.stages()
    if not stages[index].pretraining:
        _give_labels(case, resumed, case.batch())
    *_, own = (_optimizer(resumed, stage) for stage in stages[: index + 1])
    resumed.load_state_dict(deepcopy(method.state_dict()))
    own.load_state_dict(deepcopy(optimizer.state_dict()))
    return resumed, own


def _optimizer(method: Method, stage: Stage) -> Optimizer:
    optimizer: Optimizer = method_hooks.call(method, "optimizer", Optimizer, stage)
    return optimizer


def _take_step(
    method: Method,
    optimizer: Optimizer,
    stage: Stage,
    batch: Batch,
    step: int,
    after_backward: Callable[[], None] = lambda: None,
) -> None:
    seed_everything(step)
    generator, progress = torch.Generator().manual_seed(step), step_progress(stage, step)
    augmented = method_hooks.call(method, "augment", Batch, batch, generator)
    method_hooks.call(method, "learning_rate_factor", SupportsFloat, stage, progress)
    terms = require_terms(method.loss(augmented, stage, progress), method)
    terms["total"].backward()  # type: ignore[no-untyped-call]
    after_backward()
    optimizer.step()
    optimizer.zero_grad()


def step_progress(stage: Stage, step: int) -> Progress:
    """Return the progress at a step of a short training, which reaches from the first epoch of a stage to the last.

    Args:
        stage: Stage of training.
        step: Number of the step, from 0 to ``STEPS - 1``.
    """
    return Progress(step * (stage.epochs - 1) // (STEPS - 1), stage.epochs, step, STEPS)


def stage_batches(case: Case, method: Method) -> Iterator[tuple[Stage, Batch]]:
    """Yield each stage with a batch. The first supervised stage follows a call of ``on_train_labels``.

    Args:
        case: Source of the batch.
        method: Method whose stages are needed.
    """
    batch, is_informed = case.batch(), False
    for stage in method.stages():
        if not stage.pretraining and not is_informed:
            _give_labels(case, method, batch)
            is_informed = True
        yield stage, without_labels(batch) if stage.pretraining else batch


def _give_labels(case: Case, method: Method, batch: Batch) -> None:
    seed_everything(0)
    method.on_train_labels([batch.labels] if case.recipe.clip_length is None else list(batch.labels))


def without_labels(batch: Batch) -> Batch:
    """Return a batch as in pre-training, where no label is known and no clip is extra."""
    is_extra = None if batch.is_extra is None else torch.zeros_like(batch.is_extra)
    return replace(batch, labels=torch.full_like(batch.labels, -1), is_extra=is_extra)
