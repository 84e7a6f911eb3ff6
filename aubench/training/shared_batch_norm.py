"""Batch normalisation of a batch whose rows are divided among processes, by the statistics of all rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from aubench.core.errors import MethodError
from aubench.training.split_draws import RankRows


class SharedBatchNorm(TorchFunctionMode):
    """Mode in which ``torch.nn.functional.batch_norm`` normalises by all rows of the batch, not only by own ones.

    Outputs, gradients and running statistics are those of one process up to rounding.
    """

    def __init__(self, rows: RankRows) -> None:
        super().__init__()
        self._rows = rows

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a function."""
        kwargs = kwargs or {}
        if func is not functional.batch_norm:
            return func(*args, **kwargs)
        values = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
        return self._normalise(**values) if values.get("training") else func(*args, **kwargs)

    def _normalise(
        self,
        input: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        multiple, rest = divmod(len(input), self._rows.each)
        if rest:
            raise MethodError(f"normalises {len(input)} rows for {self._rows.each} samples", hint="omit --devices")
        if torch._C._autograd._top_saved_tensors_default_hooks(True) is not None:
            what = "batch normalisation in layers whose activations are computed again, not possible on several devices"
            raise MethodError(what, hint="omit --devices")
        share = _Share(self._rows.own * multiple, self._rows.total * multiple * input[0, 0].numel())
        width = input.shape[1]
        scale = input.new_ones(width, dtype=_precise(input)) if weight is None else weight
        shift = torch.zeros_like(scale) if bias is None else bias
        output, mean, variance = _batch_norm(input, scale, shift, eps, share)
        if running_mean is not None and running_var is not None:
            unbiased = variance * (share.values / max(share.values - 1, 1))
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
        return output


_ARGUMENTS = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")


class _Share(NamedTuple):
    """Part of a process in a batch."""

    rows: int  # own first rows, without those that fill up
    values: int  # values of a channel in the complete batch


class _BatchNorm(torch.autograd.Function):
    """Normalised values of the own rows, and mean and biased variance of all rows, per channel."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, eps: float, share: _Share
    ) -> tuple[Tensor, Tensor, Tensor]:
        axes, precise = _axes(values), values.to(_precise(values))
        mean = _sum_over_processes(precise[: share.rows].sum(axes)) / share.values
        centred = precise - _channels(mean, values)
        variance = _sum_over_processes(centred[: share.rows].square().sum(axes)) / share.values
        inverse = (variance + eps).rsqrt()
        output = centred.mul_(_channels(inverse * weight, values)).add_(_channels(bias, values))
        ctx.save_for_backward(values, weight, mean, inverse)
        ctx.share = share
        ctx.mark_non_differentiable(mean, variance)
        return output.to(values.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *unused: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        values, weight, mean, inverse = ctx.saved_tensors
        axes, rows, precise = _axes(values), ctx.share.rows, _precise(values)
        slopes = gradient.to(precise)
        normalised = (values.to(precise) - _channels(mean, values)).mul_(_channels(inverse, values))
        of_bias, of_weight = slopes.sum(axes), (slopes * normalised).sum(axes)
        shifts, scales = _sum_over_processes(torch.stack([of_bias, of_weight])) / ctx.share.values
        correction = normalised.mul_(_channels(scales, values)).add_(_channels(shifts, values))
        correction[rows:] = 0  # rows that fill up are not in the statistics
        of_values = (slopes - correction).mul_(_channels(inverse * weight, values))
        return of_values.to(values.dtype), of_weight.to(weight.dtype), of_bias.to(weight.dtype), None, None


_batch_norm: Callable[[Tensor, Tensor, Tensor, float, _Share], tuple[Tensor, Tensor, Tensor]] = _BatchNorm.apply


def _axes(values: Tensor) -> list[int]:
    return [axis for axis in range(values.ndim) if axis != 1]


def _precise(values: Tensor) -> torch.dtype:
    return torch.promote_types(values.dtype, torch.float32)


def _channels(statistic: Tensor, values: Tensor) -> Tensor:
    """Return a value per channel, (C,), in a shape that broadcasts with values, (N, C, ...)."""
    return statistic.view(-1, *[1] * (values.ndim - 2))


def _sum_over_processes(partial: Tensor) -> Tensor:
    """Return the sum over all processes."""
    distributed.all_reduce(partial)
    return partial
