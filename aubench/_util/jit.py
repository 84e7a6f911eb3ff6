"""Decorators that compile functions with Numba and preserve their types.

Compiled functions round according to IEEE 754, divide by zero as NumPy does, and release the interpreter's lock, so
that they run in parallel threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., object])
_njit: Any = njit  # its stub lacks some of its options
_EXACT: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, "no_cfunc_wrapper": True}


def compiled(function: _Function) -> _Function:
    """Compile a function to machine code on its first call and cache it on disk if a folder for this is writable."""
    try:
        return cast(_Function, _njit(cache=True, **_EXACT)(function))
    except RuntimeError:  # neither the folder of the module nor the user's cache folder is writable
        return cast(_Function, _njit(**_EXACT)(function))


def inner(function: _Function) -> _Function:
    """Compile a function that only compiled functions call. Python cannot call it."""
    return cast(_Function, _njit(no_cpython_wrapper=True, **_EXACT)(function))
