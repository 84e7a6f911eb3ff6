"""Submission of runs: a branch of the leaderboard's repository with one commit that adds their records."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from aubench._util.git import checked_git, git_text
from aubench.core import hashing
from aubench.core.errors import RecordError, UsageError
from aubench.leaderboard import build
from aubench.leaderboard.add import add
from aubench.leaderboard.base_revision import BaseRevision
from aubench.leaderboard.check import check_against_base
from aubench.leaderboard.extensions import Extensions
from aubench.leaderboard.records import Finding


@dataclass(frozen=True)
class Submission:
    """Branch with the records of some runs.

    Attributes:
        branch: Name of the branch.
        paths: Folders of the records, relative to the repository.
        skipped_runs: Runs that were not added, with the reason.
        report: Report of the changes in Markdown.
    """

    branch: str
    paths: tuple[Path, ...]
    skipped_runs: tuple[Finding, ...]
    report: str


def submit(
    folders: Sequence[Path], root: Path, base: str, branch: str | None = None, extensions: Extensions = ()
) -> Submission:
    """Add runs to a leaderboard, build its pages, check it, and commit the changes on a new branch.

    All is done in a temporary working tree. The present one does not change, and nothing is left after an error.

    Args:
        folders: As of :func:`aubench.leaderboard.add.add`.
        root: Leaderboard folder in a git repository.
        base: Revision from which the branch begins, such as ``origin/main``.
        branch: Name of the branch; one made of the methods' names by default.
        extensions: Extensions that add pages and blocks.

    Raises:
        DataError, RecordError: As of :func:`aubench.leaderboard.add.add`, or the check has findings.
        UsageError: The folder is in no git repository, there is no such base, its code is not the installed one, the
            branch exists, or git fails.
    """
    if not root.is_dir():
        raise UsageError("no leaderboard here", where=root, hint="clone its repository, or give its folder with --root")
    revision = BaseRevision.find(root, base)
    with _working_tree(revision.repository, base) as tree:
        _check_code(tree, base)
        copy = tree / revision.root
        added = add(folders, copy)
        build.write(copy, extensions)
        _git(tree, "add", "--all", "--force", "--", str(copy))  # also files that the user's git ignores
        findings, report = check_against_base(copy, base, extensions=extensions)
        if findings:
            where = str(findings[0].path).replace(f"{tree}/", "")
            more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
            raise RecordError(findings[0].what + more, where=where, hint="nothing was submitted")
        paths = tuple(path.relative_to(tree) for path in added.paths)
        name = branch or _branch_name(paths)
        _commit(tree, name, paths, is_named=branch is not None)
    return Submission(name, paths, added.skipped_runs, report)


def _check_code(tree: Path, base: str) -> None:
    """Check that the installed code, which checks the submission, is that of the base.

    Raises:
        UsageError: A file of the base's packages is missing here or differs.
    """
    for package in ("aubench", "methods", "protocols"):
        installed = resources.files("aubench" if package == "aubench" else f"aubench.{package}")
        for file in sorted(path for path in (tree / package).rglob("*.*") if path.is_file()):
            name = file.relative_to(tree / package)
            here = Path(str(installed)) / name
            if not here.is_file() or here.read_bytes() != file.read_bytes():
                hint = f"check out {base}, install it, and repeat the command"
                raise UsageError(f"the installed code is not that of {base}", where=f"{package}/{name}", hint=hint)


def _branch_name(paths: Sequence[Path]) -> str:
    methods = sorted({path.parts[-2] for path in paths})
    return f"leaderboard-{'-'.join(methods)[:60]}-{hashing.hash_json(sorted(map(str, paths)))[:8]}"


@contextmanager
def _working_tree(repository: Path, base: str) -> Iterator[Path]:
    """Check out a revision into a temporary working tree."""
    with tempfile.TemporaryDirectory(prefix="aubench-submit-") as name:
        tree = Path(name).resolve() / "tree"
        try:
            _git(repository, "worktree", "add", "--quiet", "--detach", str(tree), base)
            yield tree
        finally:
            with suppress(UsageError):
                _git(repository, "worktree", "remove", "--force", str(tree))


def _commit(tree: Path, branch: str, paths: Sequence[Path], *, is_named: bool) -> None:
    """Commit the staged changes on a new branch.

    Args:
        tree: Working tree.
        branch: Name of the branch.
        paths: Folders of the records, relative to the tree.
        is_named: Whether the user chose the name.

    Raises:
        UsageError: Nothing has changed, or the branch exists.
    """
    if not git_text(tree, "status", "--porcelain"):
        raise UsageError("the leaderboard has these runs already", where=paths[0])
    if git_text(tree, "for-each-ref", f"refs/heads/{branch}"):
        if is_named:  # it may be a branch of something else, such as main
            raise UsageError("is a branch already", where=branch, hint="give another name with --branch")
        hint = f"delete it with `git branch -D {branch}`"
        raise UsageError("is a branch already, of an earlier submission of these runs", where=branch, hint=hint)
    _git(tree, "switch", "--quiet", "--create", branch)
    try:
        methods = ", ".join(sorted({path.parts[-2] for path in paths}))
        runs = f"{len(paths)} run{'s' * (len(paths) > 1)}"
        _git(tree, "commit", "--quiet", "--message", f"Add {runs} of {methods} to the leaderboard")
    except BaseException:
        _git(tree, "switch", "--quiet", "--detach")
        _git(tree, "branch", "--quiet", "--delete", "--force", branch)
        raise


def _git(folder: Path, *words: str) -> None:
    """Call git, which may take long in a large repository.

    Raises:
        UsageError: It fails. The error has the last line of its output.
    """
    checked_git(folder, *words, seconds=120)
