"""Parallel verification of the records of a leaderboard, with an index of the results.

A result of an earlier verification is reused as :mod:`aubench.leaderboard.record_index` describes. Only records without
findings are in the index, and none while plug-in metrics are loaded.
"""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Collection, Mapping, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import platformdirs

from aubench._util.paths import from_environment
from aubench._util.system import available_cores, can_fork, collect_rarely
from aubench.core import hashing, method_catalogue, registry
from aubench.core.errors import RecordError
from aubench.leaderboard import record_facts, verify
from aubench.leaderboard.cross_checks import check_together
from aubench.leaderboard.folder_checks import check_folder
from aubench.leaderboard.record_index import PREFIX, RecordIndex
from aubench.leaderboard.record_keys import IndexedRecord, RecordKeys, keys_of
from aubench.leaderboard.records import DEPTH, Finding, StoredRecord, record_folders
from aubench.metrics import scores
from aubench.results import csv_io
from aubench.results import record as record_file
from aubench.results.record_info import RecordInfo

CACHE_VARIABLE = "AUBENCH_CACHE"
"""Environment variable with the cache folder; the user's cache folder by default."""
_PACKAGES = ("core", "_util", "results", "metrics", "leaderboard", "papers")
"""Packages whose code the verification and the pages run."""
_LIBRARIES = ("numpy", "pandas", "pydantic", "scipy", "tabulate")
"""Packages by others that these use."""
_MIN_PER_PROCESS = 4

_index: list[RecordIndex] = [RecordIndex(None)]
"""Index, which forked processes inherit."""


@dataclass(frozen=True)
class _Verified:
    """Result of a verification.

    Attributes:
        findings: Problems of the record.
        run: Record without findings; None if it is known from the index and its content is not needed.
        keys: Its keys.
        new: Digests of its files and its folder, and facts, for the index; None if it has them.
    """

    findings: Sequence[Finding]
    run: StoredRecord | None = None
    keys: RecordKeys | None = None
    new: tuple[str, str, dict[str, Any]] | None = None


def load_index(
    root: Path,
    *,
    use_cache: bool = True,
    new: Set[Path] = frozenset(),
    trees: Mapping[str, str] | None = None,
    content: bool = False,
) -> tuple[list[IndexedRecord], list[Finding]]:
    """Verify all records under ``root/records``, and read only those that no earlier verification knows.

    Args:
        root: Leaderboard folder.
        use_cache: Whether to reuse the results of earlier verifications.
        new: Folders of records that are accused if they disagree with others.
        trees: Git's digest of each folder that git says is unchanged, by its path relative to ``records``. Its files
            are not read if the index knows it.
        content: Whether to read the content of all records.

    Returns:
        Records without findings sorted by path, and findings: foreign files, unreadable records, wrong paths, wrong
        numbers, and records that disagree with others.
    """
    folders, findings = record_folders(root)
    findings += check_folder(root)
    _index[0] = open_index(use_cache=use_cache)
    results = _known(folders, trees) if trees else {}
    read = [folder for folder in folders if folder not in results]
    results |= zip(read, _map(_load if content else _load_keys, read), strict=True)
    _index[0].add_records(
        (digest, tree, result.keys, facts)
        for result in results.values()
        if result.new and result.keys
        for digest, tree, facts in [result.new]
    )
    sound = []
    for folder in folders:
        result = results[folder]
        problems = [*result.findings, *(verify.check_path(folder, result.keys.path) if result.keys else ())]
        findings += problems
        if result.keys and not problems:
            sound.append(IndexedRecord(folder, result.keys, result.run))
    disagreements = check_together(sound, new)
    wrong = {finding.path.parent for finding in disagreements}
    return [run for run in sound if run.folder not in wrong], findings + disagreements


def _known(folders: Sequence[Path], trees: Mapping[str, str]) -> dict[Path, _Verified]:
    """Return the keys of unchanged folders that the index has."""
    by_tree = _index[0].keys_by_tree()
    known = ((folder, by_tree.get(trees.get("/".join(folder.parts[-DEPTH:]), ""))) for folder in folders)
    return {folder: _Verified((), None, keys) for folder, keys in known if keys}


def stored_records(runs: Collection[IndexedRecord]) -> list[StoredRecord]:
    """Return the content of records, which is read where it is not known yet.

    Raises:
        RecordError: A record has changed since its verification.
    """
    missing = [run.folder for run in runs if run.stored is None]
    loaded = dict(zip(missing, _map(_load, missing), strict=True))
    for folder, result in loaded.items():
        if result.run is None or result.findings:
            raise RecordError("changed while it was verified", where=folder, hint="repeat the command")
    return [stored for run in runs if (stored := run.stored or loaded[run.folder].run)]


def open_index(*, use_cache: bool = True) -> RecordIndex:
    """Open the index; an empty one if results cannot be reused."""
    is_builtin = scores.METRICS.names() == list(scores.METRICS.builtin)
    return RecordIndex(cache_path() if use_cache and is_builtin else None)


_find_protocol = cache(registry.find_protocol)


def _load(folder: Path) -> _Verified:
    """Read a record; verify it unless the index has its digest."""
    try:
        files = _Files.read(folder) if _index[0].is_used else None
        keys = _index[0].keys(files.digest) if files else None
        if files and keys and (known := _from_index(folder, _index[0].facts(files.digest))):
            return _Verified((), known, keys)
        run = StoredRecord(folder, record_file.read(folder))
    except RecordError as error:
        return _Verified([Finding(Path(str(error.where)), error.what)])
    findings = verify.check_record(run)
    if findings := [*findings, *verify.check_protocol(run, _find_protocol, is_sound=not findings)]:
        return _Verified([*verify.check_path(folder, run.record.relative_path.parts), *findings])
    facts = record_facts.facts_of(run)
    read = tuple((run.record.file_digests or {}).items())
    new = None
    if files and files.digests == read:
        new = files.digest, files.tree, record_facts.encode(facts)
    return _Verified((), _verified(run.info, folder, facts), keys_of(run, read), new)


def _load_keys(folder: Path) -> _Verified:
    """Return the keys of a record that the index has; otherwise as :func:`_load`."""
    with suppress(RecordError):
        if _index[0].is_used and (keys := _index[0].keys(_Files.read(folder).digest)):
            return _Verified((), None, keys)
    return _load(folder)


def _from_index(folder: Path, facts: Any) -> StoredRecord | None:
    """Return a record of the index; None if its facts are damaged."""
    path = folder / record_file.FILE
    info = RecordInfo.parse(path.read_bytes(), where=path)
    try:
        return _verified(info, folder, record_facts.decode(facts, info))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _verified(info: RecordInfo, folder: Path, facts: dict[str, Any]) -> StoredRecord:
    run = StoredRecord(folder, record_file.of_verified(info, folder))
    run.__dict__.update(facts)
    return run


@dataclass(frozen=True)
class _Files:
    """Digests of the files of a record.

    Attributes:
        digests: Name and SHA-256 of each file.
        tree: Git's digest of a folder with these files.
    """

    digests: tuple[tuple[str, str], ...]
    tree: str

    @property
    def digest(self) -> str:
        """SHA-256 of all files."""
        return hashing.hash_json([digest for _, digest in self.digests])

    @staticmethod
    def read(folder: Path) -> _Files:
        """Compute the digests.

        Raises:
            RecordError: A file is missing, a link or too large.
        """
        names = [name for name in record_file.ALL_FILES if name in record_file.FILES or os.path.lexists(folder / name)]
        contents = {name: csv_io.read_bounded(folder / name, csv_io.LARGEST) for name in names}
        blobs = {name: _git_digest("blob", content) for name, content in contents.items()}
        tree = b"".join(f"100644 {name}\0".encode() + blobs[name] for name in sorted(names))
        digests = tuple((name, hashlib.sha256(content).hexdigest()) for name, content in contents.items())
        return _Files(digests, _git_digest("tree", tree).hex())


def _git_digest(kind: str, content: bytes) -> bytes:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).digest()


def _map(function: Any, folders: Sequence[Path]) -> list[_Verified]:
    """Call a function for each folder, in forked processes where the platform supports them."""
    processes = min(available_cores(), len(folders) // _MIN_PER_PROCESS)
    if processes < 2 or not can_fork():
        return [function(folder) for folder in folders]
    context = multiprocessing.get_context("fork")
    try:
        executor = ProcessPoolExecutor(processes, context, _start_worker)
    except OSError:  # a container without a writable /dev/shm has no semaphores
        return [function(folder) for folder in folders]
    with executor as pool:
        return list(pool.map(function, folders, chunksize=max(_MIN_PER_PROCESS, len(folders) // (16 * processes))))


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    collect_rarely()


def cache_path() -> Path | None:
    """Return the file of the index; None for a user without a home folder."""
    with suppress(RuntimeError):
        folder = from_environment(CACHE_VARIABLE) or platformdirs.user_cache_dir("aubench")
        return Path(folder, f"{PREFIX}{code_version()[:16]}.sqlite")
    return None


@cache
def code_version() -> str:
    """Compute a digest of the code that verifies and of the versions of the libraries that it uses."""
    package = Path(__file__).parents[1]
    patterns = ("*.py", "*.md")  # code, and templates of pages
    paths = sorted(path for name in _PACKAGES for pattern in patterns for path in (package / name).rglob(pattern))
    files = [(path.relative_to(package).as_posix(), hashing.hash_file(path)) for path in paths]
    installed = next(iter(registry.builtin_protocols().values())).parent  # protocols and known labels
    protocols = [hashing.hash_file(path) for path in sorted(installed.rglob("*.*"))]
    libraries = [metadata.version(name) for name in _LIBRARIES]
    return hashing.hash_json([sys.version, libraries, files, protocols, method_catalogue.content()])
