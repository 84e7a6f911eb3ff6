"""Words of commands whose options differ from those of another command."""

from __future__ import annotations

from collections.abc import Sequence


def changed(words: Sequence[object], changes: Sequence[object]) -> list[object]:
    """Return the words of a command without the options that occur in the changes, followed by the changes."""
    replaced = {word for word in changes if str(word).startswith("--") and word != "--set"}
    dropped = {i + offset for i, word in enumerate(words) if word in replaced for offset in (0, 1)}
    return [word for i, word in enumerate(words) if i not in dropped] + list(changes)
