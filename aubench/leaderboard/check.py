"""Verification of a leaderboard: records, protocols, duplicates, pages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from aubench.core import hashing
from aubench.leaderboard import build, entries_file, records, verified_records
from aubench.leaderboard.command_hints import build_hint
from aubench.leaderboard.extensions import Extensions, PageExtension
from aubench.leaderboard.record_index import RecordIndex
from aubench.leaderboard.record_keys import IndexedRecord
from aubench.leaderboard.records import Finding
from aubench.leaderboard.review import Changes, check_changes
from aubench.leaderboard.review_report import report
from aubench.results.csv_io import CRLF

_HINT = "give its folder with --root"
_LARGEST_PAGE = 64 * 2**20


def check_against_base(
    root: Path, base: str, extensions: Extensions = (), *, use_cache: bool = True
) -> tuple[list[Finding], str]:
    """Check a leaderboard, and the changes since a base revision.

    Records of the base revision are never accused by new ones. Records that this machine verified before are not read
    if they are those of the base revision. An index in the repository is not used, since a pull request can bring one.

    Args:
        root: Leaderboard folder.
        base: Name of a revision, such as ``origin/main``.
        extensions: Extensions that add pages and blocks.
        use_cache: Whether to reuse results for records that this machine verified before.

    Returns:
        Findings sorted by path, and a report of the changes in Markdown.

    Raises:
        DataError: The folder does not exist.
        UsageError: The folder is in no git repository, or there is no such revision.
    """
    records.require_folder(root, _HINT)
    changes = Changes.since(root, base)
    path = verified_records.cache_path()
    use_cache &= path is None or not path.resolve().is_relative_to(changes.base.repository.resolve())
    trees = changes.unchanged_trees() if use_cache else {}
    runs, findings = verified_records.load_index(root, use_cache=use_cache, new=frozenset(changes.new), trees=trees)
    findings += check_changes(changes, runs)
    index = verified_records.open_index(use_cache=use_cache)
    findings = _with_files(root, runs, findings, extensions, index, is_brief=True)
    return findings, report(changes, runs, findings)


def check(root: Path, extensions: Extensions = (), *, use_cache: bool = True) -> list[Finding]:
    """Recompute all numbers of a leaderboard and compare them with its records and pages.

    Args:
        root: Leaderboard folder.
        extensions: Extensions that add pages and blocks.
        use_cache: Whether to reuse results for records that this machine verified before, see
            :mod:`aubench.leaderboard.verified_records`.

    Returns:
        Findings sorted by path.

    Raises:
        DataError: The folder does not exist.
    """
    records.require_folder(root, _HINT)
    runs, findings = verified_records.load_index(root, use_cache=use_cache)
    index = verified_records.open_index(use_cache=use_cache)
    return _with_files(root, runs, findings, extensions, index)


def _with_files(
    root: Path,
    runs: Sequence[IndexedRecord],
    findings: list[Finding],
    extensions: Extensions,
    index: RecordIndex,
    *,
    is_brief: bool = False,
) -> list[Finding]:
    """Add the findings of the extensions and, if there are none at all, those of the pages; sort them, each once."""
    loaded = [read(root) for read in extensions]
    findings = findings + [finding for extension in loaded for finding in extension.findings]
    if not findings:
        findings += _check_pages(root, runs, extensions, loaded, index, is_brief)
    return sorted({*findings}, key=lambda finding: (finding.path.as_posix(), finding.what))


def _check_pages(
    root: Path,
    runs: Sequence[IndexedRecord],
    extensions: Extensions,
    loaded: Sequence[PageExtension],
    index: RecordIndex,
    is_brief: bool,
) -> list[Finding]:
    """Compare the pages with those that the records yield. If brief, pages of other records are not built."""
    inputs = build.inputs_of(root, runs)
    key = build.pages_key(root, inputs, extensions)
    digests = index.pages(key)
    if digests is None:
        if is_brief and entries_file.stated_inputs(root) not in (None, inputs):
            message = "and other pages are stale: they are of other records"
            return [Finding(root / entries_file.FILE, f"{message}; {build_hint(root)}")]
        files = build.files_of(root, verified_records.stored_records(runs), loaded, inputs)
        digests = build.digests_of(files)
        index.add_pages(key, digests)
    return _check_files(root, digests)


def _check_files(root: Path, digests: Mapping[str, str]) -> list[Finding]:
    remedy = build_hint(root)
    stale = f"is stale: no record belongs to it; {remedy}"
    findings = [Finding(path, stale) for path in build.stale_pages(root, digests)]
    for name, digest in digests.items():
        path = root / name
        if not path.is_file():
            findings.append(Finding(path, f"is missing; {remedy}"))
        elif hashing.hash_file(path) != digest:
            content = path.read_bytes() if path.stat().st_size <= _LARGEST_PAGE else b""
            is_crlf = hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest() == digest
            findings.append(Finding(path, CRLF if is_crlf else f"is stale; {remedy}"))
    return findings
