"""Finds methods and protocols: built in, by entry point, or by file path."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from aubench.core import plugins
from aubench.core import protocol as protocols
from aubench.core.errors import UsageError, suggest
from aubench.core.protocol import Protocol

if TYPE_CHECKING:
    from aubench.core.method import Method

GROUP = "aubench.methods"
"""Entry-point group in which installed packages offer methods."""

Source = Literal["builtin", "entry_point", "path"]


@dataclass(frozen=True)
class MethodEntry:
    """A method that was found.

    Attributes:
        name: The name it goes by.
        method: Its class.
        source: Where it was found.
        path: The file, for one given by path.
    """

    name: str
    method_class: type[Method]
    source: Source
    path: Path | None = None


def builtin_methods() -> list[str]:
    """Names of the methods that come with aubench."""
    package = importlib.import_module("aubench.methods")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def entry_point_methods() -> dict[str, metadata.EntryPoint]:
    """Methods that other installed packages offer, by name."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def method_names() -> list[str]:
    """All names that :func:`find_method` knows."""
    return sorted({*builtin_methods(), *entry_point_methods()})


def find_method(name: str) -> MethodEntry:
    """Find a method.

    Args:
        name: A built-in name, one of an entry point, or a path to a ``.py`` file.

    Raises:
        UsageError: There is none, or the file does not hold exactly one method.
    """
    if name.endswith(".py"):
        path = Path(name).resolve()
        return MethodEntry(path.stem, _only_method(plugins.load_module(path, "aubench_method_"), name), "path", path)
    if name in builtin_methods():
        return MethodEntry(name, _only_method(importlib.import_module(f"aubench.methods.{name}"), name), "builtin")
    offered = entry_point_methods()
    if name in offered:
        return MethodEntry(name, offered[name].load(), "entry_point")
    raise UsageError(f"no method '{name}'", where="--method", hint=suggest(name, method_names()))


def _only_method(module: ModuleType, name: str) -> type[Method]:
    from aubench.core.method import Method

    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Method) and not inspect.isabstract(value)
        if value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise UsageError(f"holds {len(found)} methods", where=name, hint="a file holds exactly one subclass of Method")
    return found[0]


def builtin_protocols() -> dict[str, Path]:
    """Paths of the protocols that come with aubench, by name."""
    folder = Path(str(resources.files("aubench.protocols")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_protocol(name: str, modalities: Iterable[str] | None = None) -> Protocol:
    """Find and prove a protocol.

    Args:
        name: A built-in name, or a path to a ``.toml`` file.
        modalities: The ones to narrow it to; all of its own where None.

    Raises:
        UsageError: There is none, or it does not have one of the modalities.
        ProtocolError: It cannot be trusted.
    """
    known = builtin_protocols()
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise UsageError("no such file", where=name, hint="give a path to a protocol in TOML")
        found = protocols.load(Path(name))
    elif name in known:
        found = protocols.load(known[name])
    else:
        raise UsageError(f"no protocol '{name}'", where="--protocol", hint=suggest(name, known))
    return found if modalities is None else found.narrowed(modalities)
