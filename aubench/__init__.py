"""aubench: a benchmark and leaderboard of multimodal fusion methods for facial action units.

What a plug-in author imports stands here; everything is loaded on first use, so that
``import aubench`` and ``aubench --help`` stay light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from aubench import _torchvision

if TYPE_CHECKING:
    from aubench.engine.search.tune import tune
    from aubench.errors import AubenchError
    from aubench.explain import KnowsPairs, Reconstruction, Reconstructs, Selects
    from aubench.method import AnyRecipe, BranchedMethod, Card, Fidelity, Method, Progress, Stage, masked_bce
    from aubench.points import OUTER_EYE_CORNERS
    from aubench.ranges import Choice, Integer, LogUniform, Uniform
    from aubench.recipe import Recipe, Seen
    from aubench.task import Batch, Inputs, Modality, Task

__all__ = [
    "OUTER_EYE_CORNERS",
    "AnyRecipe",
    "AubenchError",
    "Batch",
    "BranchedMethod",
    "Card",
    "Choice",
    "Fidelity",
    "Inputs",
    "Integer",
    "KnowsPairs",
    "LogUniform",
    "Method",
    "Modality",
    "Progress",
    "Recipe",
    "Reconstruction",
    "Reconstructs",
    "Seen",
    "Selects",
    "Stage",
    "Task",
    "Uniform",
    "masked_bce",
    "tune",
]

_torchvision.install_guard()

_HOME = {
    "AubenchError": "aubench.errors",
    "OUTER_EYE_CORNERS": "aubench.points",
    "tune": "aubench.engine.search.tune",
    **dict.fromkeys(("Batch", "Inputs", "Modality", "Task"), "aubench.task"),
    **dict.fromkeys(("Recipe", "Seen"), "aubench.recipe"),
    **dict.fromkeys(("Choice", "Integer", "LogUniform", "Uniform"), "aubench.ranges"),
    **dict.fromkeys(("KnowsPairs", "Reconstruction", "Reconstructs", "Selects"), "aubench.explain"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'aubench' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME.get(name, "aubench.method")), name)
