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
    return ", ".join([preset, *(f"{name}={short_value(recipe[name])}" for name in sorted(changed) if name in recipe)])


def short_value(value: Any) -> str:
    """Format a value of a recipe, of which long ones are cut off."""
    return json.dumps(value, sort_keys=True)[:40].strip('"')
