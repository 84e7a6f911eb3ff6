"""Benchmark and leaderboard of multimodal fusion methods for facial action unit detection.

The names below are the public interface: base classes for methods, and functions that run experiments. Each is imported
on first use, so that ``import aubench`` and ``aubench --help`` are fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from aubench._util import matplotlib_backend, torchvision_compat

if TYPE_CHECKING:
    from aubench.api import compare, evaluate_robustness, load_results, reproduce, run, score, tune
    from aubench.core.errors import AubenchError
    from aubench.core.introspection import (
        Reconstruction,
        SupportsModalitySelection,
        SupportsPairStatistics,
        SupportsReconstruction,
    )
    from aubench.core.landmarks import OUTER_EYE_CORNERS
    from aubench.core.losses import masked_bce, masked_bce_with_logits
    from aubench.core.method import AnyRecipe, BranchedMethod, Fidelity, Method, MethodCard, Progress, Stage
    from aubench.core.recipe import PretrainingSource, Recipe
    from aubench.core.search_space import Categorical, IntUniform, LogUniform, Uniform
    from aubench.core.task import Batch, Inputs, Modality, Task

    __version__: str

__all__ = [
    "OUTER_EYE_CORNERS",
    "AnyRecipe",
    "AubenchError",
    "Batch",
    "BranchedMethod",
    "Categorical",
    "Fidelity",
    "Inputs",
    "IntUniform",
    "LogUniform",
    "Method",
    "MethodCard",
    "Modality",
    "PretrainingSource",
    "Progress",
    "Recipe",
    "Reconstruction",
    "Stage",
    "SupportsModalitySelection",
    "SupportsPairStatistics",
    "SupportsReconstruction",
    "Task",
    "Uniform",
    "__version__",
    "compare",
    "evaluate_robustness",
    "load_results",
    "masked_bce",
    "masked_bce_with_logits",
    "reproduce",
    "run",
    "score",
    "tune",
]

matplotlib_backend.install_guard()
torchvision_compat.install_guard()

_API = ("compare", "evaluate_robustness", "load_results", "reproduce", "run", "score", "tune")
_MODULES = {
    **dict.fromkeys(_API, "aubench.api"),
    "AubenchError": "aubench.core.errors",
    "OUTER_EYE_CORNERS": "aubench.core.landmarks",
    **dict.fromkeys(("Batch", "Inputs", "Modality", "Task"), "aubench.core.task"),
    **dict.fromkeys(("masked_bce", "masked_bce_with_logits"), "aubench.core.losses"),
    **dict.fromkeys(("PretrainingSource", "Recipe"), "aubench.core.recipe"),
    **dict.fromkeys(("Categorical", "IntUniform", "LogUniform", "Uniform"), "aubench.core.search_space"),
    **dict.fromkeys(
        ("SupportsPairStatistics", "Reconstruction", "SupportsReconstruction", "SupportsModalitySelection"),
        "aubench.core.introspection",
    ),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata  # its import is slow

        return metadata.version("aubench")
    if name not in __all__:
        raise AttributeError(f"module 'aubench' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES.get(name, "aubench.core.method")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
