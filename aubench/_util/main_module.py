"""Start of worker processes that do not import the user's script again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def hide_main_module() -> Iterator[None]:
    """Keep ``multiprocessing`` from importing ``__main__`` in processes that start inside the block.

    A script without a ``__main__`` guard would otherwise run again in every worker process.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
