"""Generic plug-in registry: built-in entries, entry points of installed packages, and Python files given by path."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from aubench.core.code_files import code_digest, helper_files, installed_digest
from aubench.core.errors import UsageError, suggest
from aubench.core.user_paths import require_file, user_path

PLUGINS_VARIABLE = "AUBENCH_PLUGINS"
"""Environment variable with paths of plug-in files, separated as in ``PATH``; worker processes inherit it."""

T = TypeVar("T")


_DIGEST = "__aubench_digest__"
"""Attribute of the module of a file: digest of the code that was loaded."""


class _SourceLoader(SourceFileLoader):
    """Loader without bytecode, whose date cannot distinguish two edits in one second."""

    def path_stats(self, path: str) -> Any:
        raise OSError


class _HelperFinder:
    """Finder of the modules that a loaded file imports from its folder or the search path."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def replace(self, files: Mapping[Path, Path]) -> None:
        """Forget all loaded helpers, and modules of the same names that a script or notebook has imported.

        So files in several folders may have helpers of the same name.
        """
        names = {file: file.relative_to(folder).parts[0].removesuffix(".py") for file, folder in files.items()}
        self._folders |= {name: str(files[file]) for file, name in names.items()}
        for name in [name for name in sys.modules if name.partition(".")[0] in self._folders]:
            del sys.modules[name]

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Find a helper or a module in a package of helpers."""
        folder = self._folders.get(name.partition(".")[0])
        folders = path if path and folder else [folder] if folder else []
        specs = (FileFinder(entry, (_SourceLoader, SOURCE_SUFFIXES)).find_spec(name) for entry in folders)
        return next((spec for spec in specs if spec), None)


_HELPERS = _HelperFinder()
sys.meta_path.insert(0, _HELPERS)


def load_module(path: Path, prefix: str = "aubench_plugin_") -> ModuleType:
    """Import a Python file, which may import modules of its folder.

    Args:
        path: Absolute path of the file.
        prefix: First part of the name under which the module is imported.

    Raises:
        UsageError: The file does not exist or its import fails.
    """
    require_file(path, "give the path of a Python file")
    name = f"{prefix}{path.stem}"
    loader = _SourceLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    _HELPERS.replace(helper_files(path))
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _loading_error(error, path) from error
    setattr(module, _DIGEST, code_digest(path))  # now, because the file may extend the search path
    return module


def loaded_digest(module: ModuleType) -> str:
    """Return the digest of the code of a module from :func:`load_module`, as it was when it was loaded."""
    return str(getattr(module, _DIGEST))


def load_entry_point(point: metadata.EntryPoint) -> Any:
    """Load the object behind an entry point.

    Raises:
        UsageError: The import fails.
    """
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise _loading_error(error, f"entry point '{point.name}'") from error


def _loading_error(error: BaseException, where: Path | str) -> UsageError:
    hint = "move what runs as a script under `if __name__ == '__main__':`" if isinstance(error, SystemExit) else None
    return UsageError(f"cannot be loaded ({type(error).__name__}: {error})", where=where, hint=hint)


@cache
def _load_once(path: Path) -> ModuleType:
    return load_module(path)


def add_plugin_file(path: Path) -> ModuleType:
    """Add a plug-in file for this process and the processes that it starts, and return its module.

    Raises:
        UsageError: The file does not exist, its import fails, or processes could not receive its path.
    """
    path = path.resolve()
    if os.pathsep in str(path):
        raise UsageError(
            f"has a '{os.pathsep}', which separates plug-ins", where=path, hint="rename the file or folder"
        )
    module = _load_once(path)
    paths = [known for known in os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep) if known]
    if str(path) not in paths:
        os.environ[PLUGINS_VARIABLE] = os.pathsep.join([*paths, str(path)])
    return module


def plugin_modules() -> Iterator[ModuleType]:
    """Import the plug-in files named by ``AUBENCH_PLUGINS``, in order."""
    for path in os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep):
        if path:
            yield _load_once(user_path(path).resolve())


@cache
def _entry_points(group: str) -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=group))


def suggest_plugin(name: object, known: Iterable[str]) -> str:
    """Return the most similar known name, or all of them and the option that loads a plug-in."""
    hint = suggest(name, known)
    return f"{hint}; --plugin FILE loads others" if hint.startswith("known: ") else hint


class Registry(Generic[T]):
    """Named instances of one base class.

    An entry is an instance of ``base`` with a ``name``. It comes from a module of aubench (its module-level
    instances), from an entry point that loads an instance, or from a plug-in file (its module-level instances).

    Args:
        kind: Noun for error messages, e.g. ``"metric"``.
        base: Class of the entries.
        group: Entry-point group, e.g. ``"aubench.metrics"``.
        builtin: Name of each built-in entry, mapped to ``"module:attribute"``; imported on first use.
    """

    def __init__(self, kind: str, base: type[T], group: str, builtin: Mapping[str, str]) -> None:
        self.kind, self.base, self.group, self.builtin = kind, base, group, dict(builtin)

    def names(self) -> list[str]:
        """List all names: built-in ones in their order, then those of packages and plug-in files."""
        return list(self._references())

    def get(self, name: str) -> T:
        """Return an entry.

        Raises:
            UsageError: No entry has this name. The message suggests the most similar name.
        """
        references = self._references()
        if not isinstance(name, str) or name not in references:
            raise UsageError(f"no {self.kind} '{name}'", hint=suggest_plugin(name, references))
        reference = references[name]
        if isinstance(reference, metadata.EntryPoint):
            entry = load_entry_point(reference)
        elif isinstance(reference, str):
            module, attribute = reference.split(":")
            entry = getattr(importlib.import_module(module), attribute)
        else:
            return reference
        if not isinstance(entry, self.base):
            raise UsageError(f"{self.kind} '{name}' is not a {self.base.__name__}")
        return entry

    def code_digest(self, name: str) -> str | None:
        """Return the digest of the code of an entry; None if it is built in or does not exist."""
        if name in self.builtin:
            return None
        for module in reversed(list(plugin_modules())):
            if any(isinstance(e, self.base) and getattr(e, "name", "") == name for e in vars(module).values()):
                return loaded_digest(module)
        return next((installed_digest(point) for point in _entry_points(self.group) if point.name == name), None)

    def all(self) -> dict[str, T]:
        """Return all entries by name, in the order of :meth:`names`."""
        return {name: self.get(name) for name in self.names()}

    def _references(self) -> dict[str, str | metadata.EntryPoint | T]:
        references: dict[str, str | metadata.EntryPoint | T] = dict(self.builtin)
        for point in _entry_points(self.group):
            references.setdefault(point.name, point)
        for module in plugin_modules():
            for entry in vars(module).values():
                if isinstance(entry, self.base):
                    name = str(getattr(entry, "name", ""))
                    if name in self.builtin:
                        raise UsageError(f"{self.kind} '{name}' is built in", where=module.__file__, hint="rename it")
                    references[name] = entry
        return references
