"""Actions that run just before another package is imported for the first time."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType


class _Hook:
    """Finder that finds nothing and runs an action."""

    def __init__(self, package: str, action: Callable[[], None]) -> None:
        self.package, self.action = package, action

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == self.package and self in sys.meta_path:
            sys.meta_path.remove(self)
            self.action()
        return None


def before_import(package: str, action: Callable[[], None]) -> None:
    """Run ``action`` before the first import of ``package``. Repeated calls and an imported package have no effect."""
    known = any(isinstance(finder, _Hook) and finder.package == package for finder in sys.meta_path)
    if package not in sys.modules and not known:
        sys.meta_path.insert(0, _Hook(package, action))
