"""Repetition of a committed record in a temporary checkout of its commit, and comparison with the record."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from aubench._util.git import call_git, git_text
from aubench.core import system_files
from aubench.core.errors import DataError, UsageError, suggest
from aubench.leaderboard import records
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.records import RECORDS, VARIANTS, StoredRecord
from aubench.leaderboard.site.rerun_commands import run_command
from aubench.leaderboard.verify import row_key
from aubench.metrics import significance
from aubench.metrics.resampling import average, resample
from aubench.results import counts as counts_file
from aubench.results import record as record_file

Outcome = Literal["equal", "equal within noise", "different"]
_LEVEL = 0.95


@dataclass(frozen=True)
class Reproduction:
    """Result of repeating a run.

    Attributes:
        run: Record of the first run.
        outcome: ``equal`` if counts and histograms under clean inputs are the same, ``equal within noise`` if F1
            differs by no more than seeds or subjects explain, otherwise ``different``.
        f1, f1_again: Headline F1 in the record and of the repetition.
        reason: Comparison in one clause.
    """

    run: StoredRecord
    outcome: Outcome
    f1: float
    f1_again: float
    reason: str

    def __str__(self) -> str:
        info = self.run.info
        name = f"{info.method.name} on {info.protocol.name}, seed {info.seed}, run {info.run}"
        f1 = f"F1 {100 * self.f1:.2f} % in the record, {100 * self.f1_again:.2f} % again"
        return f"{name}: {self.outcome} ({f1}; {self.reason})"


def reproduce_run(root: Path, run_id: str, arguments: Sequence[str] = (), *, install: bool = False) -> Reproduction:
    """Repeat the run of a record in a temporary checkout of its commit.

    Args:
        root: Leaderboard folder in a clone of the repository.
        run_id: Id of the run, or its first characters; runs of the nested leaderboard of variants are also found.
        arguments: Further arguments of ``aubench run``, such as ``--store``.
        install: Whether to install the libraries of that commit, instead of using the installed ones.

    Raises:
        UsageError: There is no such run, or it cannot be repeated.
        DataError: The installation or the run fails.
        RecordError: A record cannot be read.
    """
    run = find_run(root, run_id)
    if reason := why_not_repeatable(run):
        raise UsageError(reason, where=run.folder, hint="choose another run")
    with (
        tempfile.TemporaryDirectory(prefix="aubench-again-") as scratch,
        _checkout(root, str(run.info.git.commit), Path(scratch, "code")) as code,
    ):
        python = _install(code) if install else sys.executable
        again = _repeat(run, python, code, Path(scratch, "runs"), arguments)
    return compare(run, again, _other_seeds(run))


def find_run(root: Path, run_id: str) -> StoredRecord:
    """Find the record of a run by the first characters of its id.

    Raises:
        UsageError: No run or several runs have such an id.
    """
    folders = [
        folder
        for board in (root, root / VARIANTS)
        for protocol in system_files.children(board / RECORDS)
        for method in system_files.children(protocol)
        for folder in system_files.children(method)
    ]
    found = [folder for folder in folders if run_id and folder.name.startswith(run_id)]
    if len(found) != 1:
        what = f"{len(found)} runs begin with '{run_id}'" if found else f"no run '{run_id}'"
        raise UsageError(what, where=root, hint=suggest(run_id, {folder.name for folder in folders}))
    return StoredRecord(found[0], record_file.read(found[0]))


def why_not_repeatable(run: StoredRecord) -> str | None:
    """Return the reason that a run cannot be repeated from its record and the repository; None if it can."""
    info = run.info
    if info.is_submitted:
        return "has submitted predictions, whose training was not seen"
    if info.method.source != "builtin":
        return "is of a method from outside this repository"
    if info.origins:
        return "starts from the weights of another run"
    if not all(environment.git.commit and environment.git.dirty is False for environment in info.environments):
        return "is of code with uncommitted changes, or of an unknown commit"
    if len({environment.git.commit for environment in info.environments}) > 1:
        return "is of several commits"
    return None


@contextmanager
def _checkout(root: Path, commit: str, folder: Path) -> Iterator[Path]:
    """Check out a commit; the packages beside ``aubench`` are linked into it, so it needs no installation."""
    try:
        repository = Path(git_text(root, "rev-parse", "--show-toplevel"))
        call_git(repository, "worktree", "add", "--detach", str(folder), commit, seconds=300)
    except (OSError, subprocess.SubprocessError) as error:
        detail = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip().splitlines()
        hint = "give the leaderboard of a clone with its history, e.g. after `git fetch --unshallow`"
        raise UsageError(f"cannot check out {commit[:12]}: {' '.join(detail[-1:])}", where=root, hint=hint) from None
    try:
        for name in ("methods", "protocols"):
            if (folder / name).is_dir() and not (folder / "aubench" / name).exists():
                (folder / "aubench" / name).symlink_to(folder / name)
        yield folder
    finally:
        call_git(repository, "worktree", "remove", "--force", str(folder), seconds=300)


def _install(code: Path) -> str:
    """Install a checkout with the libraries that its constraints name, and return the path of its interpreter."""
    python = str(code / ".venv" / "bin" / "python")
    packages = (python, "-m", "pip", "install", "-q", "-c", "constraints.txt", "-e", ".[train]")
    for command in ((sys.executable, "-m", "venv", str(code / ".venv")), packages):
        if subprocess.run(command, cwd=code, check=False).returncode:
            raise DataError(f"`{shlex.join(command)}` fails", where=code, hint="its output is above")
    return python


def _repeat(run: StoredRecord, python: str, code: Path, runs: Path, arguments: Sequence[str]) -> StoredRecord:
    _, *words = shlex.split(run_command(Entry.from_runs([run])))
    command = [python, "-m", "aubench.cli", *words, "--runs", str(runs), *arguments]
    paths = filter(None, (str(code), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    code_of_end = subprocess.run(command, cwd=code, env=environment, stdout=subprocess.DEVNULL, check=False).returncode
    if code_of_end:
        what = f"`aubench {shlex.join(words)}` at {str(run.info.git.commit)[:12]} ends with code {code_of_end}"
        raise DataError(what, where=run.folder, hint="its output is above")
    (again,), _ = records.find_finished_records(runs)
    return again


def _other_seeds(run: StoredRecord) -> list[StoredRecord]:
    """Read all records of the row of a run."""
    folders = system_files.children(run.folder.parent)
    siblings = (StoredRecord(folder, record_file.read(folder)) for folder in folders)
    key = row_key(run), run.info.selection
    return [other for other in siblings if other.is_complete and (row_key(other), other.info.selection) == key]


def compare(run: StoredRecord, again: StoredRecord, row: Sequence[StoredRecord]) -> Reproduction:
    """Compare the repetition of a run with its record.

    With several seeds, F1 of the repetition is within noise if it lies in the 95 % prediction interval for another
    seed of the row. With one seed, it is if the paired test over subjects finds no difference.

    Args:
        run: Record.
        again: Record of the repetition.
        row: Records of the row, with that of the run.
    """

    def result(outcome: Outcome, reason: str) -> Reproduction:
        return Reproduction(run, outcome, run.summary.f1_mean, again.summary.f1_mean, reason)

    if again.labels != run.labels:
        return result("different", "the test labels differ")
    tables = ((run.record.counts, again.record.counts), (run.record.histograms, again.record.histograms))
    clean = (tuple(table[table["condition"] == counts_file.CLEAN] for table in pair) for pair in tables)
    if all(first.reset_index(drop=True).equals(second.reset_index(drop=True)) for first, second in clean):
        return result("equal", "all counts and histograms are the same")
    seeds = np.array([sibling.summary.f1_mean for sibling in row])
    if len(seeds) > 1:
        from scipy.special import stdtrit

        reach = stdtrit(len(seeds) - 1, (1 + _LEVEL) / 2) * seeds.std(ddof=1) * np.sqrt(1 + 1 / len(seeds))
        low, high = seeds.mean() - reach, seeds.mean() + reach
        is_near = bool(low <= again.summary.f1_mean <= high)
        reason = f"another of {len(seeds)} seeds is expected from {100 * low:.2f} to {100 * high:.2f} %"
    else:
        difference = average([resample(again.record.counts)]) - average([resample(run.record.counts)])
        p = float(significance.sign_flip_test(difference.contributions[:, -1:])[0])
        is_near, reason = p >= significance.ALPHA, f"paired test over subjects: p = {p:.3f}"
    return result("equal within noise" if is_near else "different", reason)
