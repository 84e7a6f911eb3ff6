"""Training steps as CUDA graphs: the operations of a loss and its backward pass, recorded once and repeated.

Small operations take a GPU less time than Python needs to start them. A graph starts all operations of a step at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from aubench.core.method import Progress
from aubench.core.task import Batch

if TYPE_CHECKING:
    from torch import Tensor

Terms = dict[str, "Tensor"]
Compute = Callable[[Batch, Progress], Terms]
"""Computation of the detached loss terms of a batch, which also adds the gradients to the parameters."""

WARMUP = 3
"""Steps in Python before a graph is recorded, in which libraries choose algorithms and take memory."""


class CUDAGraph:
    """Graph of an NVIDIA GPU.

    It takes the seed and the offset of PyTorch's generator at each repetition, so random numbers equal those without
    graph.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._graph = device, torch.cuda.CUDAGraph()

    def record(self, work: Callable[[], Terms]) -> Terms:
        """Record the operations of a function. Threads that read images may use the GPU meanwhile.

        Raises:
            RuntimeError: The function uses a generator of the CPU, or an operation that no graph can hold.
        """
        generator = torch.cuda.default_generators[self._device.index or 0]
        state = generator.clone_state()
        try:
            with (
                unused_cpu_generators(),
                torch.cuda.device(self._device),
                torch.cuda.graph(self._graph, capture_error_mode="thread_local"),
            ):
                return work()
        except BaseException:
            generator.graphsafe_set_state(state)  # a failed recording leaves a state that gives no numbers
            raise

    def replay(self) -> None:
        """Start the operations."""
        self._graph.replay()

    def close(self) -> None:
        """Wait for the operations and free their memory."""
        torch.cuda.synchronize(self._device)
        self._graph.reset()


@dataclass(frozen=True)
class _Recording:
    """A recorded step with the memory of its inputs and outputs."""

    graph: CUDAGraph
    inputs: Batch
    outputs: Terms
    gradients: tuple[tuple[Tensor, Tensor], ...]

    def repeat(self, batch: Batch) -> Terms:
        for target, source in zip(_tensors(self.inputs).values(), _tensors(batch).values(), strict=True):
            target.copy_(source)
        self.graph.replay()
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        return {name: value.clone() for name, value in self.outputs.items()}


class StepGraph:
    """Loss and backward pass of a stage's steps, from a graph where possible.

    A graph is recorded at a step whose batch has the shapes, and whose loss has the constants, of the previous step. It
    serves until one of them changes. If recording fails, all steps run in Python.

    Args:
        compute: Loss and backward pass. Gradients are None before. The terms hold no memory of the backward pass, whose
            operations a graph could otherwise not separate from its own.
        parameters: Parameters of the method.
        create: Creates an empty graph.
        on_failure: Callback for the reason why recording failed.

    Attributes:
        repeated: Number of steps from a graph.
        failure: First line of the error of a failed recording.
    """

    def __init__(
        self,
        compute: Compute,
        parameters: Iterable[Tensor],
        create: Callable[[], CUDAGraph],
        on_failure: Callable[[str], None],
    ) -> None:
        self._compute, self._parameters, self._create, self._on_failure = compute, list(parameters), create, on_failure
        self._key: Hashable = None
        self._recording: _Recording | None = None
        self._steps, self.repeated = 0, 0
        self.failure: str | None = None

    def step(self, batch: Batch, progress: Progress, constants: Hashable | None) -> Terms:
        """Compute the loss terms and the gradients of a step.

        Args:
            batch: Augmented batch on the device.
            progress: Position in the stage.
            constants: Values of ``Method.loss_constants``. None means that the step cannot be repeated.

        Returns:
            Terms by name, whose memory later steps do not change.
        """
        key = None if constants is None else (constants, _layout(batch))
        is_repetition, self._key = key is not None and key == self._key, key
        self._steps += 1
        if not is_repetition:
            self.close()
        elif self._recording is None and self._steps > WARMUP and self.failure is None:
            self._recording = self._record(batch, progress)
        if self._recording is None:
            return self._compute(batch, progress)
        self.repeated += 1
        return self._recording.repeat(batch)

    def close(self) -> None:
        """Free the memory of the graph."""
        if self._recording is not None:
            self._recording.graph.close()
            self._recording = None

    def _record(self, batch: Batch, progress: Progress) -> _Recording | None:
        inputs, graph = _copy(batch), self._create()
        try:
            with torch.random.fork_rng(devices=[]):
                terms = graph.record(lambda: self._compute(inputs, progress))
        except Exception as error:  # whatever a loss does that a graph cannot hold
            self.failure = _first_line(error)
            self._on_failure(self.failure)
            return None
        finally:
            gradients = tuple((p, p.grad) for p in self._parameters if p.grad is not None)
            for parameter in self._parameters:
                parameter.grad = None
        return _Recording(graph, inputs, terms, gradients)


@contextmanager
def unused_cpu_generators() -> Iterator[None]:
    """Require that no random number is drawn on the CPU, since a graph would repeat it, and restore the generators.

    Raises:
        RuntimeError: PyTorch's, NumPy's or Python's generator was used.
    """
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
        used = {
            "Python's": random.getstate() != python,
            "NumPy's": any(map(np.any, map(np.not_equal, [*np.random.get_state()][1:], [*numpy][1:]))),
            "PyTorch's": not torch.equal(torch.get_rng_state(), pytorch),
        }
        if any(used.values()):
            names = " and ".join(name for name, is_used in used.items() if is_used)
            raise RuntimeError(f"the loss draws random numbers on the CPU, with {names} generator")
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(pytorch)


def _tensors(batch: Batch) -> dict[str, Tensor]:
    """Return the tensors of a batch by name."""
    others = {"labels": batch.labels, "landmarks": batch.landmarks, "is_extra": batch.is_extra}
    return {f"inputs.{m}": x for m, x in batch.inputs.items()} | {n: x for n, x in others.items() if x is not None}


def _copy(batch: Batch) -> Batch:
    """Return a copy of a batch in memory of its own."""
    landmarks, is_extra = (None if x is None else x.clone() for x in (batch.landmarks, batch.is_extra))
    return Batch({m: x.clone() for m, x in batch.inputs.items()}, batch.labels.clone(), landmarks, is_extra)


def _layout(batch: Batch) -> Hashable:
    return tuple((name, x.shape, x.stride(), x.dtype) for name, x in _tensors(batch).items())


def _first_line(error: BaseException) -> str:
    """Return the first line of the first of a chain of errors, since the end of a failed recording fails too."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}".splitlines()[0]
