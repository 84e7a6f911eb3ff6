"""Digests of code outside of this package: Python files with the modules that they import, and installed packages."""

from __future__ import annotations

import ast
import functools
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, packages_distributions
from pathlib import Path

from aubench.core import hashing, system_files


def code_digest(path: Path) -> str:
    """Return the SHA-256 of a Python file; with helpers that it imports, that of all files and names."""
    helpers = helper_files(path)
    return _digest({path: path.parent, **helpers}) if helpers else hashing.hash_file(path)


def helper_files(path: Path) -> dict[Path, Path]:
    """Return the files of the modules and packages that a Python file imports, directly or not.

    Only import statements count, also those in functions. Helpers are in the folder of the file or, e.g. by
    ``PYTHONPATH``, in another folder of the search path. A module of the standard library or of an installed package
    is no helper and takes precedence.

    Returns:
        The folder from which each file is imported.
    """
    files: dict[Path, Path] = {}
    waiting = [(path, path.parent)]
    while waiting:
        file, folder = waiting.pop()
        if file not in files:
            files[file] = folder
            waiting += _imported_files(file, path.parent)
    del files[path]
    return files


def installed_digest(point: EntryPoint) -> str:
    """Return a digest of the package behind an entry point: its distribution, version and Python files."""
    spec = importlib.util.find_spec(point.module.partition(".")[0])
    parts = {"distribution": None if point.dist is None else [point.dist.metadata["Name"], point.dist.version]}
    if spec is None:
        return hashing.hash_json(parts)
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    digests = [_digest(dict.fromkeys(system_files.descendants(folder, "*.py"), folder)) for folder in folders]
    if not folders and spec.origin:
        digests = [hashing.hash_file(Path(spec.origin))]
    return hashing.hash_json({**parts, "files": digests})


def _digest(files: Mapping[Path, Path]) -> str:
    names = {file.relative_to(folder).as_posix(): hashing.hash_file(file) for file, folder in files.items()}
    return hashing.hash_json(names)


def _imported_files(path: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        for name in {name.partition(".")[0] for name in names}:
            if not _is_installed(name):
                yield from _module_files(name, folder)


def _module_files(name: str, folder: Path) -> list[tuple[Path, Path]]:
    """Return the files of a module or package with the folder from which it is imported."""
    for root in (folder, *map(Path, sys.path)):
        package, module = root / name, root / f"{name}.py"
        files = system_files.descendants(package, "*.py") if package.is_dir() else [module] if module.is_file() else []
        if files:
            is_helper = root == folder or name not in _installed_names(tuple(sys.path))
            return [(file, root) for file in files] if is_helper else []
    return []


@functools.lru_cache(maxsize=1)
def _installed_names(search_path: tuple[str, ...]) -> frozenset[str]:
    """Return the top-level names of the packages installed in ``sys.path``, which is the key of the cache."""
    return frozenset(packages_distributions())


def _is_installed(name: str) -> bool:
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    return name in {"aubench", *sys.stdlib_module_names} or PathFinder.find_spec(name, folders) is not None
