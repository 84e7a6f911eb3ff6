"""Recipe values of a run that are not those of its preset."""

from __future__ import annotations

from aubench.core.method_catalogue import builtin_facts
from aubench.results.record_info import RecordInfo


def preset_differences(info: RecordInfo) -> frozenset[str]:
    """Return the names of the recipe values that differ from the present preset of the method.

    A preset may have changed since the run. A run that set the values of the present preset has no difference, and one
    with an earlier recipe of the preset has some. They are the overrides that the record states if the present preset
    is that of another version of the method, or the method is not built in.
    """
    facts = builtin_facts().get(info.method.name) if info.method.source == "builtin" else None
    is_present = facts is not None and (info.method.version or 1) == facts.version
    preset = facts.presets.get(info.preset) if facts and is_present else None
    if preset is None or preset.recipe.keys() != info.recipe.keys():
        return frozenset(info.overrides)
    return preset.changed_values(info.recipe)
