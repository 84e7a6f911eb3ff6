"""Text of a recipe: its preset, and the values that differ from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def recipe_text(preset: str, changed: Iterable[str], recipe: Mapping[str, Any]) -> str:
    """Format a preset and the values that differ from it, such as ``small, epochs=64``.

    Args:
        preset: Name of the preset.
        changed: Names of the values that differ.
        recipe: Values by name.
    """
    return ", ".join([preset, *value_texts(changed, recipe)])


def value_texts(names: Iterable[str], recipe: Mapping[str, Any]) -> list[str]:
    """Format the values of a recipe with some names, such as ``epochs=64``, in the order of the names."""
    return [f"{name}={_short(recipe[name])}" for name in sorted(names) if name in recipe]


def _short(value: Any) -> str:
    return json.dumps(value, sort_keys=True)[:40].strip('"')
