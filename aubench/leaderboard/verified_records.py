"""Parallel verification of the records of a leaderboard, with a cache of the results.

The cache is in the user's cache folder and never in the leaderboard. So no file of a pull request can make ``aubench
leaderboard check`` skip a computation, and a fresh clone verifies all records. A result is reused only for the same
bytes of the files of a record, the same source code, and the same versions of Python, NumPy and pandas. Only
records without findings are cached, and none while plug-in metrics are loaded.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs

from aubench._util import atomic
from aubench._util.paths import from_environment
from aubench._util.system import available_cores
from aubench.core import hashing, method_catalogue, registry
from aubench.core.errors import DataError, RecordError
from aubench.leaderboard import record_facts, verify
from aubench.leaderboard.cross_checks import check_together
from aubench.leaderboard.folder_checks import check_folder
from aubench.leaderboard.records import Finding, StoredRecord, record_folders
from aubench.leaderboard.verify import ProtocolLookup
from aubench.metrics import scores
from aubench.results import counts, histograms
from aubench.results import record as record_file
from aubench.results.record import Record, RecordInfo

CACHE_VARIABLE = "AUBENCH_CACHE"
"""Environment variable with the cache folder; the user's cache folder by default."""
_PACKAGES = ("core", "_util", "results", "metrics", "leaderboard")
"""Packages whose code the verification runs."""
_MIN_PER_PROCESS = 4
_LIMIT = 20_000

_lookup: list[ProtocolLookup] = [registry.find_protocol]
"""Lookup of protocols, which forked processes inherit."""
_entries: dict[str, Any] = {}
"""Content of the cache, which forked processes inherit."""

_Verified = tuple[StoredRecord | None, str, list[Finding]]
"""Record (None if it cannot be read), digest of its files, findings."""


class _VerifiedRecord(Record):
    """Verified record that reads its tables on first use."""

    def __init__(self, info: RecordInfo, folder: Path) -> None:
        self.__dict__.update(info=info, folder=folder)

    @cached_property
    def counts(self) -> pd.DataFrame:
        return counts.read(self.__dict__["folder"])

    @cached_property
    def histograms(self) -> pd.DataFrame:
        return histograms.read(self.__dict__["folder"])

    @cached_property
    def epochs(self) -> pd.DataFrame | None:
        return record_file.read_epochs(self.__dict__["folder"], self.info)


def load_verified(
    root: Path,
    find_protocol: ProtocolLookup = registry.find_protocol,
    *,
    use_cache: bool = True,
    new: Set[Path] = frozenset(),
) -> tuple[list[StoredRecord], list[Finding]]:
    """Read and verify all records under ``root/records``, on all cores.

    Args:
        root: Leaderboard folder.
        find_protocol: Function that returns the installed protocol of a name.
        use_cache: Whether to reuse the results of earlier verifications.
        new: Folders of records that are accused if they disagree with others.

    Returns:
        Records without findings sorted by path, and findings: foreign files, unreadable records, wrong paths, wrong
        numbers, and records that disagree with others.
    """
    folders, findings = record_folders(root)
    findings += check_folder(root)
    use_cache &= find_protocol is registry.find_protocol and scores.METRICS.names() == list(scores.METRICS.builtin)
    path = _cache_path() if use_cache else None
    entries = _read_cache(path)
    _entries.clear()
    _entries.update(entries)
    results = _map(_load, find_protocol, folders)
    verified = {
        digest: record_facts.encode(record_facts.facts_of(run))
        for run, digest, problems in results
        if run and digest and not problems and digest not in entries
    }
    if path and verified:
        _write_cache(path, {**entries, **verified})
    findings += [finding for _, _, problems in results for finding in problems]
    sound = [run for run, _, problems in results if run and not problems]
    disagreements = check_together(sound, new)
    wrong = {finding.path.parent for finding in disagreements}
    return [run for run in sound if run.folder not in wrong], findings + disagreements


def _load(folder: Path) -> _Verified:
    """Read a record; verify it unless the cache has its digest."""
    digest = _digest(folder)
    try:
        if cached := _from_cache(folder, _entries.get(digest)):
            return cached, digest, verify.check_path(cached)
        run = StoredRecord(folder, record_file.read(folder))
    except RecordError as error:
        return None, digest, [Finding(Path(str(error.where)), error.what)]
    findings = [*verify.check_path(run), *verify.check_record(run)]
    if findings := [*findings, *verify.check_protocol(run, _lookup[0], is_sound=not findings)]:
        return run, "", findings
    return _verified(run.info, folder, record_facts.facts_of(run)), digest, []


def _from_cache(folder: Path, entry: Any) -> StoredRecord | None:
    """Return a record of the cache; None if the cache has none, or a damaged entry."""
    if entry is None:
        return None
    path = folder / record_file.FILE
    info = RecordInfo.parse(path.read_bytes(), where=path)
    try:
        return _verified(info, folder, record_facts.decode(entry, info))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _verified(info: RecordInfo, folder: Path, facts: dict[str, Any]) -> StoredRecord:
    run = StoredRecord(folder, _VerifiedRecord(info, folder))
    run.__dict__.update(facts)
    return run


def _digest(folder: Path) -> str:
    """Compute the digest of a record's files; empty if one is missing or a link."""
    paths = [folder / name for name in record_file.ALL_FILES]
    if not os.path.lexists(paths[-1]):
        paths.pop()
    if any(path.is_symlink() or not path.is_file() for path in paths):
        return ""
    return hashing.hash_json([hashing.hash_file(path) for path in paths])


def _map(function: Any, find_protocol: ProtocolLookup, folders: Sequence[Path]) -> list[_Verified]:
    """Call a function for each folder, in forked processes where the platform supports them."""
    _lookup[:] = [cache(find_protocol)]
    processes = min(available_cores(), len(folders) // _MIN_PER_PROCESS)
    if processes < 2 or sys.platform != "linux" or multiprocessing.current_process().daemon:
        return [function(folder) for folder in folders]
    context = multiprocessing.get_context("fork")
    try:
        executor = ProcessPoolExecutor(processes, context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    except OSError:  # a container without a writable /dev/shm has no semaphores
        return [function(folder) for folder in folders]
    with executor as pool:
        return list(pool.map(function, folders, chunksize=max(_MIN_PER_PROCESS, len(folders) // (16 * processes))))


def _cache_path() -> Path | None:
    """Return the file of the cache; None for a user without a home folder."""
    with suppress(RuntimeError):
        folder = from_environment(CACHE_VARIABLE) or platformdirs.user_cache_dir("aubench")
        return Path(folder, f"verified-{code_version()[:16]}.json")
    return None


@cache
def code_version() -> str:
    """Compute a digest of the code that verifies and of the versions of the libraries that it uses."""
    package = Path(__file__).parents[1]
    paths = sorted(path for name in _PACKAGES for path in (package / name).rglob("*.py"))
    files = [(path.relative_to(package).as_posix(), hashing.hash_file(path)) for path in paths]
    protocols = [hashing.hash_file(path) for path in sorted(_protocols().rglob("*.*"))]
    return hashing.hash_json(
        [sys.version, np.__version__, pd.__version__, files, protocols, method_catalogue.content()]
    )


def _protocols() -> Path:
    """Return the folder of the built-in protocols and known labels."""
    return next(iter(registry.builtin_protocols().values())).parent


def _read_cache(path: Path | None) -> dict[str, Any]:
    try:
        content = {} if path is None else json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_cache(path: Path, entries: dict[str, Any]) -> None:
    """Write the newest entries and remove the files of other versions of the code; a cache that fails is no error."""
    try:
        atomic.write_text(path, json.dumps(dict(list(entries.items())[-_LIMIT:])))
        for other in path.parent.glob("verified-*.json"):
            if other != path:
                other.unlink()
    except (OSError, DataError):
        return
