"""Numba's compiler as decorators that keep a function's type.

What they compile rounds as IEEE 754 says, divides by zero as NumPy does, and runs without the interpreter's lock,
so that threads share the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., object])
_njit: Any = njit  # its stub does not know all of its options
_EXACT: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, "no_cfunc_wrapper": True}


def compiled(function: _Function) -> _Function:
    """Compile a function to machine code on its first call; the next process finds it on disk."""
    return cast(_Function, _njit(cache=True, **_EXACT)(function))


def inner(function: _Function) -> _Function:
    """Compile a function as :func:`compiled` does, for use by compiled functions only: Python cannot call it."""
    return cast(_Function, _njit(no_cpython_wrapper=True, **_EXACT)(function))
