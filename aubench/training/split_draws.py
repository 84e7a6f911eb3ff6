"""Random numbers of a part of a batch that equal those of the complete batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from aubench.core.errors import MethodError

if TYPE_CHECKING:
    from torch import Tensor

_IN_PLACE = {"bernoulli_", "exponential_", "normal_", "random_", "uniform_"}
_SUPPORTED = {
    *_IN_PLACE,
    *("bernoulli", "native_dropout", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like"),
}
_RATES = {"dropout", "dropout_p"}
"""Arguments of operations that draw unless these are 0."""
_HINT = "omit --devices"


@dataclass(frozen=True)
class RankRows:
    """Rows of a batch that one of several processes computes.

    Every process has equally many consecutive rows. The last row of the batch fills up the last ones.

    Attributes:
        total: Rows of the batch.
        rank: Number of the process.
        count: Number of processes.
    """

    total: int
    rank: int
    count: int

    @property
    def each(self) -> int:
        """Rows of each process."""
        return -(-self.total // self.count)

    def select(self, values: Tensor) -> Tensor:
        """Return the rows of the process, (each, ...) of (total, ...)."""
        own = values[self.slice]
        missing = self.each - len(own)
        return torch.cat([own, values[-1:].expand(missing, *values.shape[1:])]) if missing else own

    @property
    def own(self) -> int:
        """Number of rows of the process, without those that fill up."""
        return len(range(self.total)[self.slice])

    @property
    def slice(self) -> slice:
        """Rows of the process, without those that fill up."""
        return slice(self.rank * self.each, (self.rank + 1) * self.each)


class SplitDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Mode in which a process that computes some rows of a batch draws the random numbers of all rows.

    Random tensors whose first dimension is a multiple of the rows are drawn for the complete batch, and the process
    takes its part. Others are the same in all processes.
    """

    def __init__(self, rows: RankRows) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rows = rows

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, with random numbers of the complete batch."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        names = [argument.name for argument in func._schema.arguments]
        values = dict(zip(names, args, strict=False)) | kwargs
        name = func.overloadpacket.__name__
        if name not in _SUPPORTED:
            if _RATES & set(names) and not any(values.get(rate) for rate in _RATES):
                return func(*args, **kwargs)
            raise MethodError(f"'{name}' draws random numbers, which is not possible on several devices", hint=_HINT)
        if torch._C._autograd._top_saved_tensors_default_hooks(True) is not None:
            layers = "layers whose activations are computed again"
            what = f"'{name}' draws random numbers in {layers}, which is not possible on several devices"
            raise MethodError(what, hint=_HINT)
        key = "size" if "size" in values else names[0]
        shape = list(values[key] if key == "size" else values[key].shape)
        multiple, rest = divmod(shape[0], self._rows.each) if shape else (0, 1)
        if rest or not multiple:
            return func(*args, **kwargs)
        complete = [self._rows.total * multiple, *shape[1:]]
        argument = complete if key == "size" else self._in_complete_batch(values[key], complete)
        drawn = func(**(values | {key: argument}))
        own = tree_map_only(torch.Tensor, self._own_rows, drawn)
        return values[key].copy_(own) if name in _IN_PLACE else own

    def _own_rows(self, drawn: Tensor) -> Tensor:
        return self._rows.select(drawn.view(self._rows.total, -1, *drawn.shape[1:])).flatten(0, 1)

    def _in_complete_batch(self, values: Tensor, shape: list[int]) -> Tensor:
        """Return a tensor of the complete batch with some values in the rows of the process.

        Random numbers are drawn in the order of the memory, so it has the same order of dimensions.
        """
        order = sorted(range(values.ndim), key=values.stride, reverse=True)
        inverse = [order.index(axis) for axis in range(values.ndim)]
        complete = values.new_zeros([shape[axis] for axis in order]).permute(inverse)
        target = complete.view(self._rows.total, -1, *shape[1:])[self._rows.slice]
        target.copy_(values.view(self._rows.each, -1, *shape[1:])[: len(target)])
        return complete
