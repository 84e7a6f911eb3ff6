"""Earlier versions of the built-in protocols, and their changelog, from the folder ``earlier`` beside them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from aubench.core import protocol_file
from aubench.core.protocol import Protocol


@dataclass(frozen=True)
class ProtocolChange:
    """Change of a protocol.

    Attributes:
        protocol: Name of the protocol.
        version: Version that the change led to, from 2.
        text: One sentence.
    """

    protocol: str
    version: int
    text: str


def folder() -> Path:
    """Return the folder of the earlier versions."""
    return Path(str(resources.files("aubench.protocols"))) / "earlier"


def earlier_protocol(name: str, version: int) -> Protocol | None:
    """Load an earlier version of a built-in protocol; None if there is none.

    Raises:
        ProtocolError: The file is invalid.
    """
    path = folder() / f"{name}_v{version}.toml"
    return protocol_file.load(path) if path.is_file() else None


def changes(name: str | None = None) -> tuple[ProtocolChange, ...]:
    """Return the changes of a protocol, or of all protocols, oldest first."""
    return tuple(change for change in _changes(folder()) if name in (None, change.protocol))


@cache
def _changes(path: Path) -> tuple[ProtocolChange, ...]:
    file = path / "changes.toml"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return tuple(ProtocolChange(**change) for change in tomllib.loads(text).get("change", []))
