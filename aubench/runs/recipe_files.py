"""Files that the values of a recipe name, e.g. initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from aubench.core import hashing
from aubench.core.recipe import Recipe


def file_digests(recipe: type[Recipe], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of the files that recipe values name, by recipe key.

    A value in a list or dict counts, too. A plain word that the recipe or a preset offers, such as ``none``, names no
    file.

    Args:
        recipe: Class of the recipe.
        values: Values as JSON data.
    """
    digests = {}
    for name, value in values.items():
        content = _replace_paths(value, _words(recipe, name))
        if content != value:
            digests[name] = content if isinstance(content, str) else hashing.hash_json(content)
    return digests


def _words(recipe: type[Recipe], name: str) -> set[str]:
    """Return the texts that a field offers by its type, its default or a preset."""
    offered = [preset.get(name) for preset in recipe.all_presets().values()]
    if field := recipe.model_fields.get(name):
        offered += [field.default, *get_args(field.annotation)]
    return {text for text in offered if isinstance(text, str) and not Path(text).suffix and Path(text).name == text}


def _replace_paths(value: Any, words: set[str]) -> Any:
    match value:
        case str() if value not in words and _is_file(value):
            return hashing.hash_unchanged_file(Path(value))
        case list():
            return [_replace_paths(item, words) for item in value]
        case dict():
            return {key: _replace_paths(item, words) for key, item in value.items()}
    return value


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:
        return False
