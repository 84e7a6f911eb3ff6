"""A guard for ``MPLBACKEND`` with a backend that this environment lacks.

Jupyter and Colab set the variable for their own kernel, and commands started from a notebook inherit it. Without the
backend's package the import of matplotlib fails, although aubench writes figures to files and needs no backend.
"""

from __future__ import annotations

import importlib.util
import os

from aubench._util.import_hooks import before_import

_VARIABLE = "MPLBACKEND"
_BUILTIN = {"agg", "cairo", "macosx", "nbagg", "notebook", "pdf", "pgf", "ps", "svg", "template", "webagg"}
_BUILTIN |= {f"{kit}{kind}" for kit in ("gtk3", "gtk4", "qt", "qt5", "tk", "wx") for kind in ("agg", "cairo")} | {"wx"}


def install_guard() -> None:
    """Replace an unusable backend by ``agg`` before the first import of matplotlib."""
    before_import("matplotlib", _replace_unusable)


def _replace_unusable() -> None:
    backend = os.environ.get(_VARIABLE)
    if backend and not _is_usable(backend):
        os.environ[_VARIABLE] = "agg"


def _is_usable(backend: str) -> bool:
    kind, _, module = backend.partition("://")
    if kind == "module":
        package = module.partition(".")[0]
        return bool(package) and importlib.util.find_spec(package) is not None
    if backend.lower() in _BUILTIN:
        return True
    from importlib import metadata  # its import is slow

    return backend in {point.name for point in metadata.entry_points(group="matplotlib.backend")}
