"""Named seeds: every source of chance has its own, hashed from what it may depend on."""

from __future__ import annotations

import hashlib


def derive(*parts: str | int) -> int:
    """A seed from what it stands for.

    Two calls share a seed only if they name the same things: sharing is stated, never accidental.

    Args:
        parts: For example run seed, protocol digest, fold, ``"data"`` and epoch.

    Returns:
        0 to 2**63 - 1.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
