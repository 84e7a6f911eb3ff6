"""Everything that can be wrong with a leaderboard."""

from __future__ import annotations

from pathlib import Path

from aubench.core import registry
from aubench.core.errors import DataError
from aubench.leaderboard import build, records, verify
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.leaderboard.verify import ProtocolLookup
from aubench.papers import reported
from aubench.papers.reported import ReportedTable


def check(root: Path, known: ProtocolLookup = registry.find_protocol) -> list[Finding]:
    """Recompute every number of a leaderboard and look for everything that does not fit.

    Args:
        root: Its folder.
        known: Finds the installed protocol of a name.

    Returns:
        What is wrong, by path; nothing if all is well.

    Raises:
        DataError: There is no such folder.
    """
    if not root.is_dir():
        raise DataError("no leaderboard here", where=root, hint="give its folder with --root")
    kept, findings = records.read_records(root)
    findings += [finding for one in kept for finding in (*verify.check_path(one), *verify.check_record(one))]
    findings += [finding for one in kept for finding in verify.check_protocol(one, known)]
    findings += verify.check_duplicates(kept)
    told, wrong = reported.scan(root)
    findings += wrong
    if not findings:
        findings += _pages(root, kept, told)
    return sorted(findings, key=lambda finding: (finding.path.as_posix(), finding.what))


def _pages(root: Path, kept: list[StoredRecord], told: list[ReportedTable]) -> list[Finding]:
    made = build.pages_of(root, kept, told)
    findings = [Finding(path, "is stale: nothing stands behind it any more") for path in build.stale_pages(root, made)]
    for name, text in made.items():
        path = root / name
        if not path.is_file():
            findings.append(Finding(path, "is missing; run `aubench leaderboard build`"))
        elif path.read_bytes() != text.encode():
            findings.append(Finding(path, "is stale; run `aubench leaderboard build`"))
    return findings
