"""Numba's compiler as a decorator that keeps a function's type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """Compile a function to machine code on its first call; the next process finds it on disk."""
    return cast(_Function, njit(cache=True)(function))
