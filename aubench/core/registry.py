"""Lookup of methods and protocols: built-in, by entry point, or by file path."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Literal

from aubench.core import method_hooks, method_versions, plugins, protocol_file, system_files
from aubench.core.code_files import installed_digest
from aubench.core.errors import UsageError, suggest
from aubench.core.protocol import Protocol
from aubench.core.user_paths import require_file, user_path

if TYPE_CHECKING:
    from aubench.core.method import Method
    from aubench.core.recipe import Recipe
    from aubench.core.task import Modality, Task

GROUP = "aubench.methods"
"""Entry-point group of methods in installed packages."""

Source = Literal["builtin", "entry_point", "path"]


@dataclass(frozen=True)
class MethodEntry:
    """A method's class and its origin.

    Attributes:
        name: Name in commands and records.
        method_class: Class of the method.
        source: Kind of origin.
        path: File of a method given by path.
        digest: SHA-256 of the code of a method that is not built in. Of a method given by path, it includes the modules
            that it imports from its folder or the search path. Of an installed method, it includes the version and
            files of its package.
        version: Version of a built-in method.
    """

    name: str
    method_class: type[Method]
    source: Source
    path: Path | None = None
    digest: str | None = None
    version: int = 1

    def unsupported_reason(self, protocol: Protocol, recipe: Recipe) -> str | None:
        """Return the reason why the method does not support a protocol with a recipe, or None if it does."""
        return method_hooks.unsupported_reason(self.method_class, protocol.task(recipe.crop), recipe)

    def select_modalities(self, task: Task, recipe: Recipe) -> tuple[Modality, ...]:
        """Return the subset of a task's modalities that the method uses, in the task's order."""
        return method_hooks.select_modalities(self.method_class, task, recipe)

    def create_recipe(self, preset: str, changes: Mapping[str, Any]) -> Recipe:
        """Create the recipe of a preset, with some values changed."""
        return method_hooks.create_recipe(self.method_class, preset, changes)


def builtin_methods() -> list[str]:
    """Return the names of the built-in methods."""
    package = importlib.import_module("aubench.methods")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def entry_point_methods() -> dict[str, metadata.EntryPoint]:
    """Return the methods of other installed packages, by name."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def method_names() -> list[str]:
    """Return all names that :func:`find_method` accepts."""
    return sorted({*builtin_methods(), *entry_point_methods()})


def find_method(name: str | os.PathLike[str], where: str = "--method") -> MethodEntry:
    """Find a method.

    Args:
        name: Name of a built-in or installed method, or path of a ``.py`` file.
        where: Option or argument that gave the name, for errors.

    Raises:
        UsageError: There is no such method, its class lacks a part, or the file does not define exactly one.
    """
    if not isinstance(name, str | os.PathLike):
        raise UsageError(f"{name!r} is no name", where=where, hint="give a name, or the path of a .py file")
    name = os.fspath(name)
    if name.endswith(".py"):
        path = user_path(name).resolve()
        module = plugins.load_module(path, "aubench_method_")
        return MethodEntry(path.stem, _only_method(module, name), "path", path, plugins.loaded_digest(module))
    if name in builtin_methods():
        method_class = _only_method(importlib.import_module(f"aubench.methods.{name}"), name)
        return MethodEntry(name, method_class, "builtin", version=method_versions.current_version(name))
    installed = entry_point_methods()
    if name in installed:
        point = installed[name]
        method_class = _checked(plugins.load_entry_point(point), f"entry point '{name}'")
        return MethodEntry(name, method_class, "entry_point", digest=installed_digest(point))
    raise UsageError(f"no method '{name}'", where=where, hint=_file_hint(name, "method", ".py", method_names()))


def _file_hint(name: str, kind: str, extension: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name, which is often that of a file without its extension."""
    with suppress(OSError):  # a name that no file can have
        if Path(name).is_file():
            return f"the name of a {kind}'s file ends in {extension}"
        if name and Path(f"{name}{extension}").is_file():
            return f"a file is given with its extension: {name}{extension}"
    return suggest(name, known)


def _only_method(module: ModuleType, name: str) -> type[Method]:
    from aubench.core.method import Method

    defined = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Method) and value.__module__ == module.__name__
    ]
    classes = [value for value in defined if not inspect.isabstract(value)] or defined[-1:]
    if len(classes) != 1:
        raise UsageError(f"defines {len(classes)} Method subclasses, expected exactly one", where=name)
    return _checked(classes[0], name)


def _checked(method: Any, name: str) -> type[Method]:
    """Return a method's class after checking the parts that all commands read."""
    from aubench.core.method import Method, MethodCard
    from aubench.core.recipe import Recipe

    if not (inspect.isclass(method) and issubclass(method, Method)):
        raise UsageError("is no subclass of aubench.Method", where=name, hint="see docs/add-a-method.md")
    if inspect.isabstract(method):
        missing = " and ".join(sorted(method.__abstractmethods__))
        raise UsageError(f"{method.__name__} lacks {missing}", where=name, hint="see docs/add-a-method.md")
    if not isinstance(getattr(method, "card", None), MethodCard):
        raise UsageError(f"{method.__name__} has no card", where=name, hint="set card = MethodCard(…) in the class")
    if not (inspect.isclass(method.Recipe) and issubclass(method.Recipe, Recipe)):
        raise UsageError(f"{method.__name__}.Recipe is no subclass of aubench.Recipe", where=name)
    for hook in ("unsupported_reason", "select_modalities"):
        if isinstance(inspect.getattr_static(method, hook), FunctionType):
            what = f"{method.__name__}.{hook} is no class method"
            raise UsageError(what, where=name, hint="put @classmethod above it and name its first argument cls")
    return method


def builtin_protocols() -> dict[str, Path]:
    """Return the paths of the built-in protocols, by name."""
    folder = Path(str(resources.files("aubench.protocols")))
    return {path.stem: path for path in system_files.children(folder, "*.toml")}


def find_protocol(name: str | os.PathLike[str], modalities: Iterable[str] | None = None) -> Protocol:
    """Find and validate a protocol.

    Args:
        name: Name of a built-in protocol, or path of a ``.toml`` file.
        modalities: Modalities to narrow the protocol to; all if None.

    Raises:
        UsageError: There is no such protocol, or it lacks one of the modalities.
        ProtocolError: The protocol is invalid.
    """
    known, text = builtin_protocols(), str(name)
    if text.endswith(".toml"):
        path = user_path(text)
        require_file(path, "give the path of a protocol in TOML", where=text)
        protocol = protocol_file.load(path)
    elif text in known:
        protocol = protocol_file.load(known[text])
    else:
        hint = _file_hint(text, "protocol", ".toml", known)
        raise UsageError(f"no protocol '{name}'", where="--protocol", hint=hint)
    return protocol if modalities is None else protocol.narrowed(modalities)
