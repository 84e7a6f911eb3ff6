"""Operations and time of prediction by part of a method: encoders, fusion and heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

REST = "rest"
"""Part of everything that no module computes."""


def part_of(name: str, method: nn.Module) -> str:
    """Return the part that a module belongs to: an attribute of the method, or an entry of a list or dict of modules.

    Args:
        name: Qualified name of the module, e.g. ``encoders.visual.network.conv1``.
        method: Method.
    """
    first, *others = name.split(".")
    is_container = isinstance(getattr(method, first), nn.ModuleDict | nn.ModuleList)
    return ".".join([first, *others[: int(is_container)]])


def totals_by_part(method: nn.Module, call: Callable[[], object], meter: Callable[[], float]) -> dict[str, float]:
    """Attribute the increase of a meter during a call to the parts of a method.

    Args:
        method: Method.
        call: Function that runs the method.
        meter: Function that returns a value that never decreases, e.g. seconds or counted operations.

    Returns:
        Increase while modules of each part ran, in the order of first use, then :data:`REST`.
    """
    totals: dict[str, float] = {}
    starts: list[float] = []

    def enter(module: nn.Module, args: Any) -> None:
        starts.append(0.0 if starts else meter())

    def leave_for(part: str) -> Callable[[nn.Module, Any, Any], None]:
        def leave(module: nn.Module, args: Any, output: Any) -> None:
            start = starts.pop()
            if not starts:
                totals[part] = totals.get(part, 0.0) + meter() - start

        return leave

    handles = []
    for name, module in method.named_modules():
        if name:
            handles += [
                module.register_forward_pre_hook(enter),
                module.register_forward_hook(leave_for(part_of(name, method)), always_call=True),
            ]
    try:
        begin = meter()
        call()
        end = meter()
    finally:
        for handle in handles:
            handle.remove()
    return {**totals, REST: end - begin - sum(totals.values())}
