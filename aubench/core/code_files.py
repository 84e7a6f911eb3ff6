"""Digests of code outside of this package: Python files with the modules beside them, and installed packages."""

from __future__ import annotations

import ast
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from pathlib import Path

from aubench.core import hashing, system_files


def code_digest(path: Path) -> str:
    """Return the SHA-256 of a Python file; with modules of its folder that it imports, that of all files and names."""
    files = code_files(path)
    if len(files) == 1:
        return hashing.hash_file(path)
    return _digest(files, path.parent)


def code_files(path: Path) -> list[Path]:
    """List a Python file and the modules and packages of its folder that it imports, directly or not.

    Only import statements count, also those in functions. A module of the standard library or of an installed package
    takes precedence over one of the folder.
    """
    files: dict[Path, None] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in files:
            files[file] = None
            waiting += _imported_files(file, path.parent)
    return [path, *sorted(file for file in files if file != path)]


def installed_digest(point: EntryPoint) -> str:
    """Return a digest of the package behind an entry point: its distribution, version and Python files."""
    spec = importlib.util.find_spec(point.module.partition(".")[0])
    parts = {"distribution": None if point.dist is None else [point.dist.metadata["Name"], point.dist.version]}
    if spec is None:
        return hashing.hash_json(parts)
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    digests = [_digest(system_files.descendants(folder, "*.py"), folder) for folder in folders]
    if not folders and spec.origin:
        digests = [hashing.hash_file(Path(spec.origin))]
    return hashing.hash_json({**parts, "files": digests})


def _digest(files: list[Path], folder: Path) -> str:
    return hashing.hash_json({file.relative_to(folder).as_posix(): hashing.hash_file(file) for file in files})


def _imported_files(path: Path, folder: Path) -> Iterator[Path]:
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
            package, module = folder / name, folder / f"{name}.py"
            if (package.is_dir() or module.is_file()) and not _is_installed(name):
                yield from system_files.descendants(package, "*.py") if package.is_dir() else (module,)


def _is_installed(name: str) -> bool:
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    return name in {"aubench", *sys.stdlib_module_names} or PathFinder.find_spec(name, folders) is not None
