"""Operations and parameters of a method per frame, counted on the meta device without data and weights.

The meta device does not use fused attention kernels, so attention is counted. A multiply-accumulate is two
floating-point operations. Only matrix products, convolutions and attention are counted, as is usual. The names of all
other operations are reported.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from aubench.core.errors import AubenchError, MethodError
from aubench.core.method import BranchedMethod, Progress, build_method
from aubench.results.run_costs import FUSION, Compute, Cost

if TYPE_CHECKING:
    from aubench.core.method import Method, Stage
    from aubench.core.recipe import Recipe
    from aubench.core.task import Batch, Modality, Task

_SILENT = {
    *("aten._to_copy", "aten.arange", "aten.cat", "aten.clone", "aten.copy_", "aten.detach", "aten.empty", "aten.full"),
    *("aten.lift_fresh", "aten.ones", "aten.stack", "aten.zeros", "aten.zeros_like"),
}
"""Operations that create or move tensors without arithmetic."""


_FORMULAS: dict[Any, Callable[..., int]] = {
    torch.ops.aten.mv: lambda matrix, *others, **options: 2 * prod(matrix),
    torch.ops.aten.addmv: lambda added, matrix, *others, **options: 2 * prod(matrix),
    torch.ops.aten.dot: lambda vector, *others, **options: 2 * prod(vector),
    torch.ops.aten._trilinear: lambda first, weight, *others, **options: 2 * first[0] * prod(weight),
}
"""FLOPs by the shapes of the inputs, for products that PyTorch's counter leaves out."""


@contextmanager
def counted_flops() -> Iterator[FlopCounterMode]:
    """Count floating-point operations, with attention as single products instead of fused kernels."""
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False, custom_mapping=_FORMULAS) as counter, sdpa_kernel(SDPBackend.MATH):
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)


_BATCH_NORM = torch.ops.aten._native_batch_norm_legit_no_training.default


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Recorder of the names of all operations except views.

    On the meta device, it replaces batch normalisation by its shapes. PyTorch composes it there of many slow steps.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.seen.add(func.overloadpacket)
        if func is _BATCH_NORM and args[0].device.type == "meta":
            return torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0)
        return func(*args, **kwargs or {})


@contextmanager
def _without_log_of_fake_tensors() -> Iterator[None]:
    """Silence PyTorch's log of operations that fail, with a hundred lines of traceback; the error says it in one."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


_counts: dict[tuple[type[Method], Task, str], Compute] = {}
"""Earlier counts by method, task and recipe, since the runs of a process often differ in nothing but their seeds."""


def count_flops(method_class: type[Method], task: Task, recipe: Recipe) -> Compute:
    """Count the operations of predicting one frame and the parameters. For clips, a frame has its share.

    Args:
        method_class: Class of the method. It is built on the meta device, so no weights are downloaded.
        task: Task with the image size of the inputs of ``forward``.
        recipe: Hyper-parameters.

    Returns:
        The total, and for a :class:`~aubench.core.method.BranchedMethod` whose predictions use all of its parts each
        encoder and the fusion. A weight that several encoders share counts with each. A weight that no encoder uses
        counts with the fusion, even if only training uses it.

    Raises:
        MethodError: The method fails, or cannot run on the meta device.
    """
    key = method_class, task, recipe.model_dump_json()
    if key not in _counts:
        _counts[key] = _count(method_class, task, recipe)
    return _counts[key]


@_without_log_of_fake_tensors()
def _count(method_class: type[Method], task: Task, recipe: Recipe) -> Compute:
    try:
        with torch.device("meta"):
            method = build_method(method_class, task, recipe)
            frame = _frame(task, recipe)
        return _counted(method.to("meta"), frame)
    except AubenchError:
        raise
    except Exception as error:
        try:
            return _counted_on_cpu(method_class, task, recipe)
        except Exception:
            raise _counting_error(error, method_class, task, recipe) from error


def count_parameters(method_class: type[Method], task: Task, recipe: Recipe) -> int:
    """Count the parameters of a method without running it.

    Raises:
        MethodError: The method cannot be built.
    """
    try:
        with torch.device("meta"):
            method = build_method(method_class, task, recipe)
    except AubenchError:
        raise
    except Exception:  # a constructor may compute values, which the meta device cannot
        return count_flops(method_class, task, recipe).total.parameters
    return sum(parameter.numel() for parameter in method.parameters())


def count_training_flops(method: Method, batch: Batch, stage: Stage) -> int:
    """Count the operations of the forward and backward pass of training per frame, also those that are repeated.

    Args:
        method: Method on any device. It runs on the batch, and its gradients are removed.
        batch: A few frames or clips of the training role, augmented.
        stage: Stage of training.
    """

    def step() -> None:
        method.loss(batch, stage, Progress(0, stage.epochs, 0, 1))["total"].backward()  # type: ignore[no-untyped-call]

    flops, _, _ = _measured(step)
    method.zero_grad(set_to_none=True)
    return flops // batch.labels[..., 0].numel()


def _counting_error(error: Exception, method_class: type[Method], task: Task, recipe: Recipe) -> MethodError:
    """Distinguish a method that fails only on tensors without values from one that fails on any."""
    what, hint = "cannot be built", None
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            method = build_method(method_class, task, recipe).eval()
            what = "forward fails"
            method(_frame(task, recipe))
    except Exception as cause:
        error = cause
    else:
        what = "cannot be counted on the meta device"
        hint = "make tensors on the device of the inputs, and let no value decide what is computed"
    return MethodError(f"{what} ({type(error).__name__}: {error})", where=method_class.__name__, hint=hint)


def _counted_on_cpu(method_class: type[Method], task: Task, recipe: Recipe) -> Compute:
    """Count a method with constants on the CPU, on tensors without values."""
    with torch.random.fork_rng(devices=[]):
        method = build_method(method_class, task, recipe)
    with FakeTensorMode(allow_non_fake_inputs=True):
        return _counted(method, _frame(task, recipe))


def _frame(task: Task, recipe: Recipe) -> dict[Modality, Tensor]:
    lead = (1,) if recipe.clip_length is None else (1, recipe.clip_length)
    return {m: torch.zeros(*lead, m.channels, task.image_size, task.image_size) for m in task.modalities}


def _counted(method: Method, frame: dict[Modality, Tensor]) -> Compute:
    length = method.recipe.clip_length or 1
    for parameter in method.eval().parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    parts: dict[str, Cost] = {}
    of_parts = 0
    if isinstance(method, BranchedMethod):
        parts, of_parts, uncounted = _branches(method, frame, length)
    flops = of_parts
    if not isinstance(method, BranchedMethod) or type(method).forward is not BranchedMethod.forward:
        flops, uncounted, _ = _measured(lambda: method(frame))
    if flops != of_parts:  # predictions do not use all parts
        parts = {}
    return Compute(total=_cost(flops // length, method.parameters()), parts=parts, uncounted=uncounted)


def _branches(
    method: BranchedMethod, frame: dict[Modality, Tensor], length: int
) -> tuple[dict[str, Cost], int, tuple[str, ...]]:
    """Return the cost of each part, and the FLOPs of a clip and the uncounted operations of all parts."""
    parts: dict[str, Cost] = {}
    features: dict[Modality, Any] = {}
    fusion = dict(method.named_parameters())
    total, names = 0, set[str]()
    for modality, images in frame.items():
        flops, uncounted, features[modality] = _measured(lambda m=modality, x=images: method.encode(m, x))  # type: ignore[misc]
        total, names = total + flops, names.union(uncounted)
        used = _used(features[modality], method)
        parts[str(modality)] = _cost(flops // length, used.values())
        fusion = {name: parameter for name, parameter in fusion.items() if name not in used}
    flops, uncounted, _ = _measured(lambda: method.fuse(features))
    parts[FUSION] = _cost(flops // length, fusion.values())
    return parts, total + flops, tuple(sorted(names.union(uncounted)))


def _measured(call: Callable[[], Any]) -> tuple[int, tuple[str, ...], Any]:
    """Return the FLOPs of a call, the names of uncounted operations, and the result of the call."""
    with _Operations() as operations, counted_flops() as counter:
        result = call()
    names = {str(packet) for packet in operations.seen if packet not in counter.flop_registry}
    names = {name for name in names if not name.startswith("prim.")}
    return counter.get_total_flops(), tuple(sorted(names - _SILENT)), result


def _used(features: Any, method: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that features depend on: those that the graph of their gradients reaches."""
    leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(features) if isinstance(leaf, Tensor)]
    reached = {id(leaf) for leaf in leaves}
    nodes = {leaf.grad_fn for leaf in leaves if leaf.grad_fn is not None}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        reached.add(id(getattr(node, "variable", None)))
        later = {following for following, _ in node.next_functions if following is not None} - nodes
        nodes |= later
        waiting += later
    return {name: parameter for name, parameter in method.named_parameters() if id(parameter) in reached}


def _cost(flops: int, parameters: Iterable[nn.Parameter]) -> Cost:
    return Cost(flops=2 * (flops // 2), macs=flops // 2, parameters=sum(p.numel() for p in parameters))
