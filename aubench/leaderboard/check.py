"""Verification of a leaderboard: records, protocols, duplicates, pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aubench.core import registry
from aubench.core.errors import DataError
from aubench.leaderboard import build, verified_records
from aubench.leaderboard.extensions import Extensions, PageExtension
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.leaderboard.review import Changes, check_changes
from aubench.leaderboard.review_report import report
from aubench.leaderboard.verify import ProtocolLookup
from aubench.results.csv_io import CRLF


def check_against_base(
    root: Path,
    base: str,
    find_protocol: ProtocolLookup = registry.find_protocol,
    extensions: Extensions = (),
    *,
    use_cache: bool = True,
) -> tuple[list[Finding], str]:
    """Check a leaderboard, and the changes since a base revision.

    Records of the base revision are never accused by new ones.

    Args:
        root: Leaderboard folder.
        base: Name of a revision, such as ``origin/main``.
        find_protocol: Function that returns the installed protocol of a name.
        extensions: Extensions that add pages and blocks.
        use_cache: Whether to reuse results for records that this machine verified before.

    Returns:
        Findings sorted by path, and a report of the changes in Markdown.

    Raises:
        DataError: The folder does not exist.
        UsageError: The folder is in no git repository, or there is no such revision.
    """
    _require_folder(root)
    changes = Changes.since(root, base)
    new = frozenset(changes.new)
    runs, findings = verified_records.load_verified(root, find_protocol, use_cache=use_cache, new=new)
    findings += check_changes(changes, runs)
    findings = _with_files(root, runs, findings, extensions)
    return findings, report(changes, runs, findings)


def check(
    root: Path,
    find_protocol: ProtocolLookup = registry.find_protocol,
    extensions: Extensions = (),
    *,
    use_cache: bool = True,
) -> list[Finding]:
    """Recompute all numbers of a leaderboard and compare them with its records and pages.

    Args:
        root: Leaderboard folder.
        find_protocol: Function that returns the installed protocol of a name.
        extensions: Extensions that add pages and blocks.
        use_cache: Whether to reuse results for records that this machine verified before, see
            :mod:`aubench.leaderboard.verified_records`.

    Returns:
        Findings sorted by path.

    Raises:
        DataError: The folder does not exist.
    """
    _require_folder(root)
    runs, findings = verified_records.load_verified(root, find_protocol, use_cache=use_cache)
    return _with_files(root, runs, findings, extensions)


def _require_folder(root: Path) -> None:
    if not root.is_dir():
        raise DataError("no leaderboard here", where=root, hint="give its folder with --root")


def _with_files(
    root: Path, runs: Sequence[StoredRecord], findings: list[Finding], extensions: Extensions
) -> list[Finding]:
    """Add the findings of the extensions and, if there are none at all, those of the pages, and sort them."""
    loaded = [read(root) for read in extensions]
    findings = findings + [finding for extension in loaded for finding in extension.findings]
    if not findings:
        findings += _check_files(root, runs, loaded)
    return sorted(findings, key=lambda finding: (finding.path.as_posix(), finding.what))


def _check_files(root: Path, runs: Sequence[StoredRecord], extensions: Sequence[PageExtension]) -> list[Finding]:
    files = build.files_of(root, runs, extensions)
    stale = "is stale: no record belongs to it; run `aubench leaderboard build`"
    findings = [Finding(path, stale) for path in build.stale_pages(root, files)]
    for name, text in files.items():
        path = root / name
        if not path.is_file():
            findings.append(Finding(path, "is missing; run `aubench leaderboard build`"))
        elif (content := _read(path, 2 * len(text.encode()))) != text.encode():
            is_crlf = content.replace(b"\r\n", b"\n") == text.encode()
            findings.append(Finding(path, CRLF if is_crlf else "is stale; run `aubench leaderboard build`"))
    return findings


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit)
