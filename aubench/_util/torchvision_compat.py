"""A guard for torchvision builds with compiled operators that do not match the installed torch.

The import of such a build, and thus of timm, torchmetrics and lightning, fails with ``operator torchvision::nms does
not exist``, although none of them needs the operator here. The guard has no cost until torchvision is imported, and
does not change a working torchvision.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util

from aubench._util.import_hooks import before_import

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


_declared: list[object] = []


def _declare_missing_operators() -> None:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return
    import torch

    library = importlib.machinery.PathFinder.find_spec("torchvision._C", list(spec.submodule_search_locations))
    if library is not None and library.origin is not None:
        try:
            torch.ops.load_library(library.origin)  # type: ignore[no-untyped-call]
        except OSError:
            pass
        else:
            return
    fragment = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS.values():
        fragment.define(schema)  # type: ignore[no-untyped-call]
    _declared.append(fragment)  # the declaration lives as long as this object


def install_guard() -> None:
    """Declare the missing operators before the first import of torchvision."""
    before_import("torchvision", _declare_missing_operators)
