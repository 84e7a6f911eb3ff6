"""Review of a leaderboard against a base revision: rules of submissions, and a report of the changes."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from aubench.core import method_catalogue, registry
from aubench.core.errors import RecordError
from aubench.core.system_files import is_system_file
from aubench.leaderboard import build, entries_file
from aubench.leaderboard.add import extends
from aubench.leaderboard.base_revision import BaseRevision
from aubench.leaderboard.known_labels import known_digest
from aubench.leaderboard.preset_differences import preset_differences
from aubench.leaderboard.record_keys import IndexedRecord
from aubench.leaderboard.records import RECORDS, REPORTED, REPRODUCED, REPRODUCTIONS, VARIANTS, Finding, StoredRecord
from aubench.leaderboard.verified_records import stored_records
from aubench.results import epochs as epochs_file
from aubench.results import record as record_file
from aubench.results.record_info import BUDGET_FIELDS
from aubench.results.schema import INITIALISATION

AGREED_SEEDS = (0, 1, 2)
"""Seeds that every row has, so that nobody can choose lucky ones."""
_LARGEST_RECORD = 8 * 2**20


@dataclass(frozen=True)
class Changes:
    """Changes of a leaderboard since a base revision.

    Attributes:
        root: Leaderboard folder.
        base: Base revision.
        new: Folders of new records.
        changed: Folders of records with changed or removed files, with whether the record was removed.
        others: Further changed files, by path relative to the repository: ``A``, ``M`` or ``D``.
    """

    root: Path
    base: BaseRevision
    new: tuple[Path, ...]
    changed: Mapping[Path, bool]
    others: Mapping[PurePosixPath, str]

    @classmethod
    def since(cls, root: Path, revision: str) -> Changes:
        """List the changes since a revision.

        Raises:
            UsageError: As of :meth:`aubench.leaderboard.base_revision.BaseRevision.find`.
        """
        base = BaseRevision.find(root, revision)
        statuses: dict[Path, set[str]] = defaultdict(set)
        others = {}
        for path, status in base.changes().items():
            parts = path.relative_to(base.root).parts if path.is_relative_to(base.root) else ()
            is_hidden = any(map(is_system_file, parts))
            if len(parts) == 5 and parts[0] == RECORDS and parts[4] in record_file.ALL_FILES and not is_hidden:
                statuses[root.joinpath(*parts[:4])].add(status)
            else:
                others[path] = status
        old = {folder: base.files(base.root / folder.relative_to(root).as_posix()) for folder in statuses}
        new = tuple(folder for folder in statuses if record_file.FILE not in old[folder])
        changed = {folder: not (folder / record_file.FILE).exists() for folder in statuses if folder not in new}
        return cls(root, base, new, changed, others)

    def unchanged_trees(self) -> dict[str, str]:
        """Return git's digest of each folder under ``records`` that is that of the base revision, by relative path."""
        touched = {folder.relative_to(self.root / RECORDS).as_posix() for folder in (*self.new, *self.changed)}
        trees = self.base.trees(self.base.root / RECORDS)
        return {path: tree for path, tree in trees.items() if path not in touched}

    @cached_property
    def extended(self) -> tuple[Path, ...]:
        """Folders of records that gained conditions or learning curves and kept all that they had."""
        return tuple(folder for folder, is_removed in self.changed.items() if not is_removed and self._extends(folder))

    @cached_property
    def repetitions(self) -> tuple[Path, ...]:
        """Folders of new repetitions."""
        added = [path for path, status in self.others.items() if status == "A" and path.is_relative_to(self.base.root)]
        inner = [path.relative_to(self.base.root) for path in added]
        return tuple(dict.fromkeys(self.root / path.parent for path in inner if path.parts[0] == REPRODUCTIONS))

    def _extends(self, folder: Path) -> bool:
        files = self.base.files(self.base.root / folder.relative_to(self.root).as_posix())
        with tempfile.TemporaryDirectory(prefix="aubench-base-") as name:
            for file, content in files.items():
                Path(name, file).write_bytes(content)
            try:
                return extends(record_file.read(folder), Path(name))
            except RecordError:
                return False


def check_changes(changes: Changes, runs: Sequence[IndexedRecord]) -> list[Finding]:
    """Check the changes of a pull request.

    Args:
        changes: Changes since the base revision.
        runs: Records of the leaderboard without findings.
    """
    new = stored_records([run for run in runs if run.folder in changes.new])
    by_file = (_removals(changes), _other_files(changes), _sizes(changes))
    checks = (*by_file, _new_records(changes, new), _rows(changes, runs))
    return [finding for check in checks for finding in check]


def _removals(changes: Changes) -> Iterator[Finding]:
    for folder, is_removed in changes.changed.items():
        if is_removed:
            yield Finding(folder, "was removed; a submission keeps all records")
        elif folder not in changes.extended:
            yield Finding(folder, "was changed; another result is another run with another id")


def _other_files(changes: Changes) -> Iterator[Finding]:
    root, base = changes.root, changes.base
    has_records = changes.new or changes.changed or changes.repetitions
    for path, status in changes.others.items():
        if not path.is_relative_to(base.root):
            outermost = base.root.parent if base.root.name == VARIANTS else base.root
            if has_records and not path.is_relative_to(outermost):
                message = "is outside of the leaderboard; change it in a pull request of its own"
                yield Finding(base.repository / path, message)
            continue
        inner = path.relative_to(base.root)
        verb = {"A": "was added", "D": "was removed"}.get(status, "was changed")
        if inner.parts[0] in (REPORTED, REPRODUCED):
            yield Finding(root / inner, f"{verb}; a submission changes no file in {inner.parts[0]}")
        elif inner.parts[0] == VARIANTS and base.root.name != VARIANTS:
            continue  # a leaderboard of its own
        elif status == "A" and any(map(is_system_file, inner.parts)):  # records and repetitions have no such files
            yield Finding(root / inner, f"{verb}, but is no file of a record and no page")
        elif inner.parts[0] == REPRODUCTIONS and status == "A":
            continue  # a repetition, which is verified with the pages
        elif inner.parts[0] == REPRODUCTIONS:
            yield Finding(root / inner, f"{verb}; a submission keeps all repetitions")
        elif len(inner.parts) > 1 or (status == "A" and not _is_page(root / inner)):
            yield Finding(root / inner, f"{verb}, but is no file of a record and no page")


def _sizes(changes: Changes) -> Iterator[Finding]:
    """Check the bytes of new records, extended ones and repetitions, which the repository keeps for ever."""
    for folder in (*changes.new, *changes.extended, *changes.repetitions):
        if (size := sum(path.lstat().st_size for path in folder.iterdir())) > _LARGEST_RECORD:
            yield Finding(folder, f"has {size:,} bytes, at most {_LARGEST_RECORD:,} are allowed")


def _is_page(path: Path) -> bool:
    return path.name == entries_file.FILE or (path.suffix == ".md" and build.is_generated(path))


def _new_records(changes: Changes, new: Sequence[StoredRecord]) -> Iterator[Finding]:
    commits = {environment.git.commit or "" for run in new for environment in run.info.environments}
    known = commits
    if not changes.base.is_shallow:
        known = changes.base.known_commits(commits)
    elif commits:
        what = "the commits of new records are unknown in a shallow clone; run `git fetch --unshallow`"
        yield Finding(changes.root, what)
    for run in new:
        is_variant = changes.root.resolve().name == VARIANTS
        for what in (*_origin(run, known), *_recipe(run, is_variant=is_variant), *_training(run)):
            yield run.finding(record_file.FILE, what)


def _origin(run: StoredRecord, commits: set[str]) -> Iterator[str]:
    info = run.info
    if not run.is_complete:
        yield f"folds: has {len(info.folds)} of {info.protocol.fold_count} folds"
    for environment in info.environments:
        git = environment.git
        if git.commit is None or git.dirty:
            yield "git: the code has no commit, or differs from it; run from a clean clone"
        elif git.commit not in commits:
            yield f"git.commit: {git.commit[:12]} is not in the history of the base revision; run from a clone of it"
    digest = known_digest(info.dataset.name, info.dataset.version) or info.dataset.digest
    if digest != info.dataset.digest:
        yield f"dataset.digest: says {info.dataset.digest[:12]}, the store of {info.dataset.name} is {digest[:12]}"


def _recipe(run: StoredRecord, *, is_variant: bool) -> Iterator[str]:
    info = run.info
    facts = method_catalogue.builtin_facts().get(info.method.name)
    if info.method.source == "builtin" and facts and (info.method.version or 1) < facts.version:
        yield f"method.version: says {info.method.version or 1}, the present version is {facts.version}; run it again"
    present = registry.find_protocol(info.protocol.name)
    if is_earlier := info.protocol.version < present.version:
        yield f"protocol.version: says {info.protocol.version}, the present version is {present.version}; run it again"
    is_narrowed = not is_earlier and info.protocol.digest != present.digest
    differences = preset_differences(info)
    if not is_variant and not info.is_submitted and ((differences and not info.search.tuned) or is_narrowed):
        yield f"overrides: a changed recipe or fewer modalities belong into the leaderboard of {VARIANTS}"
    elif not is_variant and (budget := sorted(differences.intersection(info.overrides, BUDGET_FIELDS))):
        yield f"overrides: {budget[0]} is no result of a search, so the run belongs into the leaderboard of {VARIANTS}"


def _training(run: StoredRecord) -> Iterator[str]:
    """Check that a record states what was trained, which records of earlier versions may omit."""
    if run.info.is_submitted:
        return
    if run.record.epoch_table is None:
        yield f"tables.epochs: the record has no {epochs_file.FILE}; new records have learning curves"
    for i, item in enumerate(run.info.pretraining):
        if item.stage != INITIALISATION and item.run is None and (item.frames is None or item.seconds is None):
            yield f"pretraining.{i}: frames and seconds of the stage {item.stage} are missing"


def _rows(changes: Changes, runs: Sequence[IndexedRecord]) -> Iterator[Finding]:
    """Check that each row with a new record has the agreed seeds, and then further ones in order."""
    rows: dict[tuple[str, str], list[IndexedRecord]] = defaultdict(list)
    for run in runs:
        rows[run.keys.row, run.keys.selection].append(run)
    for group in rows.values():
        new = [run for run in group if run.folder in changes.new and not run.keys.is_submitted]
        seeds = sorted(run.keys.seed for run in group)
        if new and (len(seeds) < len(AGREED_SEEDS) or seeds != list(range(len(seeds)))):
            message = f"seed: the row has the seeds {', '.join(map(str, seeds))}, it needs {_agreed(len(seeds))}"
            yield new[0].finding(record_file.FILE, message)


def _agreed(count: int) -> str:
    last = max(count, len(AGREED_SEEDS)) - 1
    return ", ".join(map(str, AGREED_SEEDS)) if last < len(AGREED_SEEDS) else f"all from 0 to {last}"
