"""Data parallelism: each process computes the modules of a method on some rows of the batch, and the loss on all.

A loss may compare samples of a batch, e.g. by statistics of AU pairs, so the mean of the losses of parts is not its
loss. Therefore only modules are computed in parts, whose output rows depend on the same rows of the input.
Their outputs are gathered, every process computes the rest, and gradients are exact for any loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.utils._pytree import tree_leaves, tree_map

from aubench._util import ranks
from aubench.core.errors import MethodError, UsageError
from aubench.training.shared_batch_norm import SharedBatchNorm
from aubench.training.split_draws import RankRows, SplitDraws

_BUCKET = 2**25
"""Number of gradients that are averaged at once."""
_TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3}
"""Largest difference between the outputs of a batch and of its parts, relative to the largest output."""
_LOW_PRECISION = 3e-2
"""The same for other types, and on GPUs and in autocast, where float32 may be the result of products of fewer bits."""
_all_gather: Any = getattr(distributed, "all_gather_single", None) or distributed.all_gather_into_tensor
"""Function with the new name of PyTorch 2.13, or with that of earlier versions."""


def require_splittable(method: nn.Module, name: str) -> None:
    """Check before training that several devices compute the numbers of one.

    Raises:
        UsageError: A layer updates running statistics of samples.
    """
    for path, module in method.named_modules():
        if isinstance(module, _InstanceNorm) and module.track_running_stats:
            what = f"trains on one device, because '{path}' has running statistics of samples"
            raise UsageError(what, where=name, hint="omit --devices; several GPUs then train several folds at a time")


class SplitModules:
    """Modules of a method that are computed in parts during training.

    These are the modules that are attributes of the method, or entries of its lists and dictionaries of modules. The
    first call of each is compared with the output for the complete batch.
    """

    def __init__(self, method: nn.Module) -> None:
        self._modules = {id(module): (name, module) for name, module in _callable_modules(method)}.values()
        self._compared: set[str] = set()
        self._inside = False

    @contextmanager
    def active(self) -> Iterator[None]:
        """Compute the modules in parts during the block."""
        replaced = [vars(module).get("forward") for _, module in self._modules]
        for name, module in self._modules:
            module.forward = partial(self._call, name, module, module.forward)
        try:
            yield
        finally:
            for (_, module), forward in zip(self._modules, replaced, strict=True):
                del module.forward
                if forward is not None:
                    module.forward = forward

    def _call(self, name: str, module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.ndim]
        if self._inside or not inputs or len(inputs[0]) < ranks.count():
            return forward(*args, **kwargs)
        rows = RankRows(len(inputs[0]), ranks.rank(), ranks.count())
        whole = partial(forward, *args, **kwargs)
        reference = None if name in self._compared else _reference(name, module, whole, _gpus(inputs))

        def own(value: Any) -> Any:
            has_rows = isinstance(value, Tensor) and value.ndim and len(value) == rows.total
            return _scatter(value, rows) if has_rows else value

        self._inside = True
        try:
            with SplitDraws(rows), SharedBatchNorm(rows):
                output = forward(*tree_map(own, args), **tree_map(own, kwargs))
        finally:
            self._inside = False
        gathered = tree_map(partial(_gather_output, name, rows), output)
        if reference is not None:
            self._compared.add(name)
            _compare(name, tree_leaves(reference), tree_leaves((gathered, dict(module.named_buffers()))))
        return gathered


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients over the processes, which completes those of the split modules."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    while gradients:
        size, bucket = 0, list[Tensor]()
        while gradients and gradients[-1].dtype == (bucket or gradients)[-1].dtype and size < _BUCKET:
            bucket.append(gradients.pop())
            size += bucket[-1].numel()
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        distributed.all_reduce(flat)
        flat /= ranks.count()
        for gradient, part in zip(bucket, torch.split(flat, [gradient.numel() for gradient in bucket]), strict=True):
            gradient.copy_(part.view_as(gradient))


def _callable_modules(parent: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, module in parent.named_children():
        if isinstance(module, nn.ModuleList | nn.ModuleDict):
            yield from _callable_modules(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def _gpus(inputs: Iterable[Tensor]) -> list[torch.device]:
    """Return the NVIDIA GPUs of some tensors, on whose generators a module without parameters draws too."""
    return list({x.device for x in inputs if x.device.type == "cuda"})


def _reference(
    name: str, module: nn.Module, call: Callable[[], Any], gpus: list[torch.device]
) -> tuple[Any, dict[str, Tensor]]:
    """Return output and buffers of a module after the complete batch, with the random numbers of the next call."""
    before = {key: value.clone() for key, value in module.named_buffers()}
    with torch.no_grad(), torch.random.fork_rng(gpus):
        output = call()
    after = {key: value.clone() for key, value in module.named_buffers()}
    shared = {id(value) for part in module.modules() if isinstance(part, _BatchNorm) for value in part.buffers()}
    for key, value in module.named_buffers():
        if id(value) not in shared and not torch.equal(value, before[key]):
            raise _not_splittable(name, f"updates '{key}' from a batch")
        value.copy_(before[key])
    return output, after


def _compare(name: str, expected: list[Any], gathered: list[Any]) -> None:
    for one, several in zip(expected, gathered, strict=True):
        if isinstance(one, Tensor) and one.is_floating_point():
            kind = one.device.type
            is_exact = kind == "cpu" and not torch.is_autocast_enabled(kind)
            limit = (_TOLERANCES.get(one.dtype, _LOW_PRECISION) if is_exact else _LOW_PRECISION) * one.abs().max()
            if one.shape != several.shape or (one - several).abs().max() > limit:
                raise _not_splittable(name, "mixes the samples of a batch")


def _gather_output(name: str, rows: RankRows, output: Any) -> Any:
    if not isinstance(output, Tensor):
        return output
    if not output.ndim or len(output) != rows.each:
        raise _not_splittable(name, f"returns {tuple(output.shape)} for {rows.each} samples")
    return _gather(output, rows)


def _not_splittable(name: str, reason: str) -> MethodError:
    return MethodError(f"module '{name}' {reason}, so the method trains on one device", hint="omit --devices")


def _all_rows(values: Tensor, rows: RankRows) -> Tensor:
    """Return the rows of all processes, (total, ...) of (each, ...)."""
    values = values.contiguous()
    gathered = values.new_empty(rows.each * rows.count, *values.shape[1:])
    _all_gather(gathered.view(-1).view(torch.uint8), values.view(-1).view(torch.uint8))
    return gathered[: rows.total]


class _Scatter(torch.autograd.Function):
    """Rows of this process. The gradient has the rows of all processes."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rows: RankRows) -> Tensor:
        ctx.rows = rows
        return rows.select(values).clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _all_rows(gradient, ctx.rows) / ctx.rows.count, None


class _Gather(torch.autograd.Function):
    """Rows of all processes. The gradient has the rows of this process, times the processes of a later average."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rows: RankRows) -> Tensor:
        ctx.rows = rows
        return _all_rows(values, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        own = gradient[ctx.rows.slice] * ctx.rows.count
        missing = ctx.rows.each - len(own)
        return torch.cat([own, own.new_zeros(missing, *own.shape[1:])]) if missing else own, None


_scatter: Callable[[Tensor, RankRows], Tensor] = _Scatter.apply
_gather: Callable[[Tensor, RankRows], Tensor] = _Gather.apply
