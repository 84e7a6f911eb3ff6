"""Totals by part of a method, also where a method calls modules inside of an encoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from aubench.evaluation.method_parts import REST, part_of, totals_by_part


class Encoder(nn.Module):
    def __init__(self, clock: Clock, cost: float) -> None:
        super().__init__()
        self.stem, self.block = Work(clock, cost), Work(clock, cost)

    def forward(self, x):
        return self.maps(x)

    def maps(self, x):
        return self.block(self.stem(x))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Work(nn.Module):
    """A layer that takes some time."""

    def __init__(self, clock: Clock, cost: float) -> None:
        super().__init__()
        self.clock, self.cost = clock, cost

    def forward(self, x):
        self.clock.now += self.cost
        return x


class Fused(nn.Module):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.encoders = nn.ModuleDict({"visual": Encoder(clock, 1), "depth": Encoder(clock, 2)})
        self.head = nn.Sequential(Work(clock, 3), Work(clock, 4))
        self.unused = Work(clock, 100)

    def forward(self, x, *, inside: bool):
        for encoder in self.encoders.values():
            x = encoder.maps(x) if inside else encoder(x)
        self.clock.now += 0.5
        return self.head(x)


@pytest.mark.parametrize("inside", [False, True])
def test_parts_add_up_to_the_whole(inside):
    method = Fused(clock := Clock())
    totals = totals_by_part(method, lambda: method(torch.zeros(1), inside=inside), clock)
    assert totals == {"encoders.visual": 2, "encoders.depth": 4, "head": 7, REST: 0.5}


def test_no_hook_remains_after_an_error():
    method = Fused(clock := Clock())

    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        totals_by_part(method, fail, clock)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in method.modules())


def test_entries_of_sequences_are_one_part():
    method = Fused(Clock())
    assert part_of("head.1", method) == "head"
    assert part_of("encoders.depth.stem", method) == "encoders.depth"
