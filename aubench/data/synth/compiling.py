"""Compilation of the drawing code: bit-exact, and without the interpreter's lock, so that threads share the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., object])


def exact(function: _Function) -> _Function:
    """Compile a function to machine code that rounds as IEEE 754 says; the next process finds it on disk."""
    return cast(_Function, njit(cache=True, nogil=True, error_model="numpy", no_cfunc_wrapper=True)(function))


def inner(function: _Function) -> _Function:
    """Compile a function as :func:`exact` does, for use by compiled functions only: Python cannot call it."""
    bare = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(_Function, njit(nogil=True, error_model="numpy", **bare)(function))
