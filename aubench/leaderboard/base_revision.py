"""Files of a leaderboard at another revision of its git repository."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aubench._util.git import call_git, checked_git, git_text, last_line
from aubench.core.errors import UsageError

_LARGEST = 16 * 2**20
_PLAIN = {"100644", "100755"}
"""Git's modes of files that are no links."""


@dataclass(frozen=True)
class BaseRevision:
    """Revision that a leaderboard is compared with.

    Attributes:
        repository: Top folder of the repository.
        root: Leaderboard folder relative to ``repository``; empty if it is the top folder.
        commit: Last common commit of the revision and the present one.
    """

    repository: Path
    root: PurePosixPath
    commit: str

    @classmethod
    def find(cls, root: Path, revision: str) -> BaseRevision:
        """Find the revision from which the present one begins.

        Args:
            root: Leaderboard folder.
            revision: Name of a revision, such as ``origin/main``.

        Raises:
            UsageError: The folder is in no repository, or there is no such revision.
        """
        try:
            repository = Path(git_text(root, "rev-parse", "--show-toplevel"))
        except (OSError, subprocess.SubprocessError) as error:
            what = f"is in no git repository, or git is not installed: {last_line(error)}"
            raise UsageError(what, where=root, hint="clone the repository of the leaderboard") from None
        try:
            tip = git_text(repository, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
            commit = git_text(repository, "merge-base", tip, "HEAD")
        except (OSError, subprocess.SubprocessError):
            what = f"no revision '{revision}', or it has no common history with HEAD"
            hint = "run e.g. `git fetch origin main`, and `git fetch --unshallow` in a shallow clone"
            raise UsageError(what, where="--base", hint=hint) from None
        return cls(repository, PurePosixPath(root.resolve().relative_to(repository.resolve()).as_posix()), commit)

    def changes(self) -> dict[PurePosixPath, str]:
        """List the changed files of the repository: ``A`` added, ``M`` changed, ``D`` removed, by path.

        Raises:
            UsageError: git cannot read the repository, e.g. a clone without all objects.
        """
        options = ("--no-ext-diff", "--no-textconv", "--no-renames", "--name-status", "-z", self.commit, "--")
        words = checked_git(self.repository, "diff", *options).decode("utf-8", "surrogateescape").split("\0")
        listed = {PurePosixPath(path): status[:1] for status, path in zip(words[::2], words[1::2], strict=False)}
        new = checked_git(self.repository, "ls-files", "--others", "--exclude-standard", "-z")
        names = filter(None, new.decode("utf-8", "surrogateescape").split("\0"))
        return {**{PurePosixPath(path): "A" for path in names}, **listed}

    def files(self, folder: PurePosixPath) -> dict[str, bytes]:
        """Read the files of a folder of the repository at the revision, by name.

        Raises:
            UsageError: As :meth:`changes`.
        """
        contents = {}
        for path, (mode, kind, digest, size) in self._list_tree(folder, "-l"):
            if kind == "blob" and mode in _PLAIN and int(size) <= _LARGEST:
                contents[path.name] = checked_git(self.repository, "cat-file", "blob", digest)
        return contents

    def trees(self, folder: PurePosixPath) -> dict[str, str]:
        """Return git's digest of each folder at any depth of a folder at the revision, by path relative to it.

        Raises:
            UsageError: As :meth:`changes`.
        """
        digests = {path: digest for path, (_, _, digest) in self._list_tree(folder, "-r", "-d")}
        return {path.relative_to(folder).as_posix(): digests[path] for path in digests if folder in path.parents}

    def _list_tree(self, folder: PurePosixPath, *options: str) -> Iterator[tuple[PurePosixPath, list[str]]]:
        """List what ``git ls-tree`` states of a folder at the revision, by path; nothing if there is no such folder."""
        paths = (f"{folder}/",) if folder.parts else ()
        listed = checked_git(self.repository, "ls-tree", "-z", *options, self.commit, "--", *paths)
        for line in filter(None, listed.decode("utf-8", "surrogateescape").split("\0")):
            information, _, path = line.partition("\t")
            yield PurePosixPath(path), information.split()

    @property
    def is_shallow(self) -> bool:
        """Whether the history is incomplete."""
        return git_text(self.repository, "rev-parse", "--is-shallow-repository") == "true"

    def known_commits(self, commits: Iterable[str]) -> set[str]:
        """Return the commits in the history of the revision."""
        return {commit for commit in commits if self._is_known(commit)}

    def _is_known(self, commit: str) -> bool:
        try:
            call_git(self.repository, "merge-base", "--is-ancestor", f"{commit}^{{commit}}", self.commit)
        except subprocess.CalledProcessError:
            return False
        return True
